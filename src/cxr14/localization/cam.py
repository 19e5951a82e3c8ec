"""Class activation maps by CAM, Grad-CAM and its variants, and their normalization.

The backbone runs once per image, without gradients: a method needs only the transition maps and the
head. :data:`METHODS` lists the methods by name.

``per_map`` (Wang et al. 2017) scales each map from its minimum to its maximum. ``fixed`` keeps 0 at
0 (negative heat becomes 0), and one value per finding becomes 255, the **heat scale**: the median
of the hottest pixel over the validation images labelled with it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from cxr14.console import track
from cxr14.errors import UserError
from cxr14.labels import FINDINGS
from cxr14.localization.heatmaps import Grids
from cxr14.localization.overlap import scaled_to_255
from cxr14.models.inference import deterministic_inference, prepare

if TYPE_CHECKING:
    from cxr14.models.network import Network


def cam(network: "Network", maps: Tensor, classes: Sequence[int]) -> Tensor:
    """CAM (Zhou et al. 2016, arXiv 1512.04150): Σ_k w_k A_k.

    The weight w_k of a map is that of the prediction layer; there is no backward pass.

    Returns:
        (B, C, h, w), of either sign; the mean over space plus the bias is the logit.

    Raises:
        UserError: the network does not use average pooling.
    """
    if network.pooling != "avg":
        raise UserError(
            f"localize.method = cam is exact for model.pooling = avg only, and this network "
            f"pools with {network.pooling}; set localize.method to gradcam"
        )
    weights = network.prediction.weight.detach()[list(classes)]  # (C, T)
    return torch.einsum("ct,bthw->bchw", weights, maps.detach())  # equation 2


def gradients(network: "Network", maps: Tensor, classes: Sequence[int]) -> Tensor:
    """Gradient of each class's logit by the maps, through the head only.

    All classes share one batched backward pass. On a CPU this takes a half to a quarter of the time
    of separate passes, with bit-identical results.

    Args:
        network: its ``score(maps)`` must not mix images.
        maps: (B, T, h, w) transition maps; not modified.
        classes: C indices of the network's classes.

    Returns:
        (B, C, T, h, w): ∂logit/∂map.
    """
    maps = maps.detach().requires_grad_()
    with torch.enable_grad():
        logits = network.score(maps)[:, list(classes)]  # (B, C)
    # Row c selects the sum of logit c over the images.
    chosen = torch.eye(len(classes), dtype=logits.dtype, device=logits.device)
    chosen = chosen[:, None].expand(-1, len(maps), -1)  # (C, B, C)
    (gradient,) = torch.autograd.grad(logits, maps, chosen, is_grads_batched=True)
    return gradient.transpose(0, 1)


def grad_cam(network: "Network", maps: Tensor, classes: Sequence[int]) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391): ReLU(Σ_k α_k A_k).

    The weight α_k is the mean gradient of the map. It equals ReLU(CAM) / (h·w), for max and lse
    pooling too: over space the gradients add up to the weight w_k of the prediction layer.

    Returns:
        (B, C, h, w), not negative.
    """
    weights = gradients(network, maps, classes).mean(dim=(3, 4), keepdim=True)  # equation 1
    return (weights * maps[:, None]).sum(dim=2).relu()  # equation 2


def grad_cam_pp(network: "Network", maps: Tensor, classes: Sequence[int]) -> Tensor:
    """Grad-CAM++ (Chattopadhyay et al. 2018, arXiv 1710.11063).

    ReLU(Σ_k A_k Σ_ij α_ij ReLU(g_ij)) with g the gradients and α = g² / (2g² + S·g³), S the sum of
    the map over space (equation 19, score = exp(logit)). The factor exp(logit), common to a
    heatmap, is left out. Only g > 0 counts, so g² cancels and no denominator is 0. Implementations
    that add a small number to the denominator instead change the map: g² ≈ 10⁻⁶ for average
    pooling. There the weight of a map is ReLU(w) / (2 + w · its mean).

    Returns:
        (B, C, h, w), not negative.
    """
    positive = gradients(network, maps, classes).relu()
    sums = maps.sum(dim=(2, 3), keepdim=True)[:, None]  # (B, 1, T, 1, 1), not negative
    weights = (positive / (2 + sums * positive)).sum(dim=(3, 4), keepdim=True)
    return (weights * maps[:, None]).sum(dim=2).relu()


def hires_cam(network: "Network", maps: Tensor, classes: Sequence[int]) -> Tensor:
    """HiResCAM (Draelos and Carin 2020, arXiv 2011.08891): ReLU(Σ_k g_k A_k).

    Each pixel is weighted by its own gradient, of either sign. For average pooling the gradient is
    the same everywhere, and HiResCAM equals Grad-CAM.

    Returns:
        (B, C, h, w), not negative.
    """
    return (gradients(network, maps, classes) * maps[:, None]).sum(dim=2).relu()  # equation 5


def layer_cam(network: "Network", maps: Tensor, classes: Sequence[int]) -> Tensor:
    """LayerCAM (Jiang et al. 2021, IEEE Trans. Image Process. 30: 5875–5888).

    ReLU(Σ_k ReLU(g_k) A_k): each pixel is weighted by its own positive gradient. With max and lse
    pooling only the locations that the logit depends on are hot. For average pooling it is a CAM of
    the positive weights, / (h·w).

    Returns:
        (B, C, h, w), not negative.
    """
    positive = gradients(network, maps, classes).relu()
    return (positive * maps[:, None]).sum(dim=2).relu()


Method = Callable[["Network", Tensor, Sequence[int]], Tensor]
"""Of a network, its maps (B, T, h, w) and C class indices: (B, C, h, w) of any scale."""

METHODS: Final[dict[str, Method]] = {
    "gradcam": grad_cam,
    "cam": cam,
    "gradcam_pp": grad_cam_pp,
    "layercam": layer_cam,
    "hirescam": hires_cam,
}


class SaliencySettings(NamedTuple):
    """Settings of a network's heatmaps."""

    method: str  # one of METHODS
    batch_size: int  # images per forward pass
    input_size: int  # pixels per side of the images that enter the network


def heat_grids(
    network: "Network",
    images: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
    classes: Sequence[int],
    settings: SaliencySettings,
) -> npt.NDArray[np.float32]:
    """Compute heatmaps at the resolution of the network's grid.

    Args:
        network: in eval mode.
        images: (N, S, S) uint8, the cache.
        rows: (M,) which of them.
        classes: C indices of the network's classes.
        settings: method, batch size and input size.

    Returns:
        (M, C, h, w) float32, not scaled; only cam can be negative.

    Raises:
        UserError: the method does not fit the network, or the network is being trained.
    """
    if network.training:
        raise UserError("heatmaps need a network in evaluation mode; call network.eval() first")
    method, batch_size, input_size = settings
    grids = []
    with deterministic_inference(network) as device, torch.no_grad():
        for start in track(range(0, len(rows), batch_size), f"heatmaps of {len(rows)} images"):
            batch = torch.from_numpy(images[rows[start : start + batch_size]]).to(device)
            maps = network.maps(prepare(batch, input_size))
            grids.append(METHODS[method](network, maps, classes).float().cpu().numpy())
    return np.concatenate(grids) if grids else np.zeros((0, len(classes), 1, 1), np.float32)


def grids_of_pairs(
    network: "Network",
    images: npt.NDArray[np.uint8],
    pairs: pd.DataFrame,
    settings: SaliencySettings,
    scale: Mapping[str, float] | None = None,
) -> Grids:
    """Compute the heatmap of each pair on the network's grid, one forward pass per image.

    Values are rounded as in heatmaps.npz, so that the boxes can be reproduced from the file.

    Args:
        network: in eval mode.
        images: (N, S, S) uint8, the cache.
        pairs: image, finding and row of P pairs, of findings among the network's classes.
        settings: method, batch size and input size.
        scale: the heat that becomes 1, by finding (scaling = fixed); None: per map.

    Returns:
        (P, h, w) float16; with ``scale`` a hotter map exceeds 1, and negative heat is 0.
    """
    rows, image_index = np.unique(pairs["row"].to_numpy(np.int64), return_inverse=True)
    findings = [name for name in FINDINGS if name in set(pairs["finding"])]
    classes = [network.classes.index(name) for name in findings]
    grids = heat_grids(network, images, rows, classes, settings)  # (images, C, h, w)
    column = pairs["finding"].map(findings.index).to_numpy(np.int64)
    pair_grids = grids[image_index, column]
    if scale is None:
        return (scaled_to_255(pair_grids) / 255).astype(np.float16)
    full_heat = pairs["finding"].map(scale).to_numpy(np.float32)[:, None, None]
    # float16 ends at 65504.
    return np.asarray(np.clip(pair_grids / full_heat, 0, 60_000), np.float16)


MAX_VALIDATION_IMAGES = 100
"""Maximum number of validation images per finding, which limits the run time."""

PER_MAP = "each map by its own minimum and maximum"
NOT_LABELLED = "no validation image is labelled so: median of the other findings"
NO_HEAT = "half of its validation images have no heat: median of the other findings"


def heat_scale(
    scaling: str,
    network: "Network",
    cache: npt.NDArray[np.uint8],
    validation: pd.DataFrame,
    findings: Sequence[str],
    settings: SaliencySettings,
) -> pd.DataFrame:
    """Compute for each finding the heat that maps to 255.

    Args:
        scaling: per_map or fixed.
        network: in eval mode.
        cache: (N, S, S) uint8.
        validation: see heatmaps.validation_images; used for ``fixed`` only.
        findings: among the network's classes.
        settings: method, batch size and input size.

    Returns:
        finding, scaling, images (number used), heat_scale (above 0; null for ``per_map``) and
        reason (null where the finding's own images set the scale).

    Raises:
        UserError: no finding has heat in its validation images.
    """
    table = pd.DataFrame({"finding": list(findings)}).assign(scaling=scaling)
    if scaling == "per_map":
        return table.assign(images=0, heat_scale=np.nan, reason=PER_MAP)
    sampled = {name: _spaced(validation.loc[validation[name] == 1, "row"]) for name in findings}
    rows = np.unique(np.concatenate([np.zeros(0, np.int64), *sampled.values()]))
    classes = [network.classes.index(name) for name in findings]
    grids = heat_grids(network, cache, rows, classes, settings)
    hottest = pd.DataFrame(grids.max(axis=(2, 3)), rows, list(findings))
    medians = [hottest.loc[rows, name].median() for name, rows in sampled.items()]  # NaN: no rows
    counts = [len(rows) for rows in sampled.values()]
    return _fill_missing(table.assign(images=counts, heat_scale=np.asarray(medians, np.float64)))


def _fill_missing(table: pd.DataFrame) -> pd.DataFrame:
    """Fill a missing heat scale with the median of the others, and add the reason."""
    known = table["heat_scale"].where(table["heat_scale"] > 0)
    if len(known) and known.isna().all():
        raise UserError(
            "localize.scaling = fixed needs heat in validation images labelled with a boxed "
            "finding, and there is none; set localize.scaling to per_map"
        )
    reason = pd.Series(np.where(table["images"] > 0, NO_HEAT, NOT_LABELLED))
    filled = known.fillna(known.median())
    return table.assign(heat_scale=filled, reason=reason.where(known.isna(), None))


def scale_by_finding(scale: pd.DataFrame) -> dict[str, float] | None:
    """Return the heat that maps to 255 by finding; None for ``per_map``."""
    if (scale["scaling"] == "per_map").all():
        return None
    return dict(zip(scale["finding"], scale["heat_scale"], strict=True))


def _spaced(rows: "pd.Series[int]") -> npt.NDArray[np.int64]:
    """Take at most MAX_VALIDATION_IMAGES of the rows, evenly spaced."""
    count = min(len(rows), MAX_VALIDATION_IMAGES)
    indices = np.linspace(0, len(rows) - 1, count).round().astype(int)
    return np.asarray(rows.to_numpy(np.int64)[indices])
