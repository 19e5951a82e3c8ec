"""Class activation maps by CAM, Grad-CAM and their variants, at any layer, and their normalization.

A map needs the activations of a layer and the gradient of a class's logit by them. The layer is the
last one (`localize.layer: last`, the transition maps), or the deepest with a given stride. Maps of
the last layer show where the *network* holds its evidence: a pixel of it may depend on the whole
image, above all with small images. The gradient at a finer layer leads back to where in the *image*
the evidence comes from (Jiang et al. 2021, "LayerCAM", section IV).

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
from scipy import ndimage
from torch import Tensor

from cxr14.config.blocks import check_method
from cxr14.console import track
from cxr14.errors import UserError
from cxr14.localization.heatmaps import Grids
from cxr14.localization.overlap import scaled_to_255
from cxr14.models.inference import deterministic_inference, prepare
from cxr14.models.maps import layers_up_to

if TYPE_CHECKING:
    from cxr14.models.network import Network

Part = Callable[[Tensor], Tensor]


def cam(maps: Tensor, gradient: Tensor) -> Tensor:
    """CAM (Zhou et al. 2016, arXiv 1512.04150): Σ_k w_k A_k.

    For average pooling, the weight w_k of the prediction layer is the sum of the gradient over
    space.

    Returns:
        (P, h, w), of either sign; the mean over space plus the bias is the logit.
    """
    return (gradient.sum(dim=(2, 3), keepdim=True) * maps).sum(dim=1)  # equation 2


def grad_cam(maps: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391): ReLU(Σ_k α_k A_k).

    The weight α_k is the mean gradient of the map. At the last layer it equals ReLU(CAM) / (h·w),
    for max and lse pooling too: over space the gradients add up to the weight w_k of the prediction
    layer.

    Returns:
        (P, h, w), not negative.
    """
    weights = gradient.mean(dim=(2, 3), keepdim=True)  # equation 1
    return (weights * maps).sum(dim=1).relu()  # equation 2


def grad_cam_pp(maps: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM++ (Chattopadhyay et al. 2018, arXiv 1710.11063).

    ReLU(Σ_k A_k Σ_ij α_ij ReLU(g_ij)) with g the gradients and α = g² / (2g² + S·g³), S the sum of
    the map over space (equation 19, score = exp(logit)). The factor exp(logit), common to a
    heatmap, is left out. Only g > 0 counts, so g² cancels and no denominator is 0. Implementations
    that add a small number to the denominator instead change the map: g² ≈ 10⁻⁶ for average
    pooling. There the weight of a map is ReLU(w) / (2 + w · its mean).

    Returns:
        (P, h, w), not negative.
    """
    positive = gradient.relu()
    sums = maps.sum(dim=(2, 3), keepdim=True)  # (P, T, 1, 1), not negative
    weights = (positive / (2 + sums * positive)).sum(dim=(2, 3), keepdim=True)
    return (weights * maps).sum(dim=1).relu()


def hires_cam(maps: Tensor, gradient: Tensor) -> Tensor:
    """HiResCAM (Draelos and Carin 2020, arXiv 2011.08891): ReLU(Σ_k g_k A_k).

    Each pixel is weighted by its own gradient, of either sign. At the last layer of average pooling
    the gradient is the same everywhere, and HiResCAM equals Grad-CAM.

    Returns:
        (P, h, w), not negative.
    """
    return (gradient * maps).sum(dim=1).relu()  # equation 5


def layer_cam(maps: Tensor, gradient: Tensor) -> Tensor:
    """LayerCAM (Jiang et al. 2021, IEEE Trans. Image Process. 30: 5875–5888).

    ReLU(Σ_k ReLU(g_k) A_k): each pixel is weighted by its own positive gradient, so that the maps
    of fine layers are sharp. At the last layer of average pooling it is a CAM of the positive
    weights, / (h·w).

    Returns:
        (P, h, w), not negative.
    """
    return (gradient.relu() * maps).sum(dim=1).relu()


Method = Callable[[Tensor, Tensor], Tensor]
"""Of the activations (P, T, h, w) of P pairs and the gradients of their logits by them, of the same
shape: (P, h, w) of any scale."""

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
    layer: int | str = "last"  # last, or the stride of the layer
    smoothing: float = 0.0  # deviation of the Gaussian on a map, as a share of its side


def parts_at(network: "Network", layer: int | str) -> tuple[Part, Part]:
    """Split a network at a layer into two functions: images to maps, and maps to logits.

    Args:
        network: (B, 3, s, s) to (B, C).
        layer: last (the transition maps), or a stride: the deepest layer of the backbone with at
            most so many pixels of the image per pixel of the maps.

    Raises:
        UserError: no layer has this stride.
    """
    if layer == "last":
        return network.maps, network.score
    first, rest = layers_up_to(network.features, int(layer))
    if not len(first):
        raise UserError(
            f"localize.layer is {layer}, but {network.backbone} has no layer of that stride; "
            f"set a larger one, or last"
        )

    def score(maps: Tensor) -> Tensor:
        return network.score(network.head.transition(rest(maps)))

    return first, score


def gradients(score: Part, maps: Tensor, classes: Tensor) -> Tensor:
    """Gradient of each pair's logit by its own maps.

    Args:
        score: maps to logits; must not mix pairs.
        maps: (P, T, h, w); not modified.
        classes: int64 (P,), the class of each pair.

    Returns:
        (P, T, h, w): ∂logit/∂map.
    """
    maps = maps.detach().requires_grad_()
    with torch.enable_grad():
        logits = score(maps).gather(1, classes[:, None]).sum()
    (gradient,) = torch.autograd.grad(logits, maps)
    return gradient


def heat_grids(
    network: "Network",
    images: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
    classes: npt.NDArray[np.int64],
    settings: SaliencySettings,
) -> npt.NDArray[np.float32]:
    """Compute the heatmap of each of P pairs of an image and a class, on the grid of the layer.

    Equal rows that follow one another share the forward pass up to the layer.

    Args:
        network: in eval mode.
        images: (N, S, S) uint8, the cache.
        rows: (P,) image of each pair.
        classes: (P,) index of each pair's class in the network's classes.
        settings: of the heatmaps.

    Returns:
        (P, h, w) float32, not scaled; only cam can be negative.

    Raises:
        UserError: the method does not fit the network, the network has no such layer, or it is
            being trained.
    """
    if network.training:
        raise UserError("heatmaps need a network in evaluation mode; call network.eval() first")
    check_method(settings.method, settings.layer, network.pooling)
    first, score = parts_at(network, settings.layer)
    size, method, grids = settings.batch_size, METHODS[settings.method], []
    with deterministic_inference(network) as device, torch.no_grad():
        for start in track(range(0, len(rows), size), f"{len(rows)} heatmaps"):
            chosen, image_of_pair = np.unique(rows[start : start + size], return_inverse=True)
            batch = torch.from_numpy(images[chosen]).to(device)
            maps = first(prepare(batch, settings.input_size))[torch.from_numpy(image_of_pair)]
            of_pair = torch.from_numpy(classes[start : start + size]).to(device)
            grids.append(method(maps, gradients(score, maps, of_pair)).float().cpu().numpy())
    raw = np.concatenate(grids) if grids else np.zeros((0, 1, 1), np.float32)
    return smoothed(raw, settings.smoothing)


def smoothed(maps: npt.NDArray[np.float32], share: float) -> npt.NDArray[np.float32]:
    """Smooth maps (P, h, w) by a Gaussian whose deviation is a share of their side.

    The border reflects, so that the sum of a map is kept: repeating the outermost pixels would
    multiply heat at the border.
    """
    down, across = (share * side for side in maps.shape[1:])
    return np.asarray(ndimage.gaussian_filter(maps, (0, down, across), mode="reflect"))


def grids_of_pairs(
    network: "Network",
    images: npt.NDArray[np.uint8],
    pairs: pd.DataFrame,
    settings: SaliencySettings,
    scale: Mapping[str, float] | None = None,
) -> Grids:
    """Compute the heatmap of each pair on the layer's grid.

    Values are rounded as in heatmaps.npz, so that the boxes can be reproduced from the file.

    Args:
        network: in eval mode.
        images: (N, S, S) uint8, the cache.
        pairs: image, finding and row of P pairs, of findings among the network's classes.
        settings: of the heatmaps.
        scale: the heat that becomes 1, by finding (scaling = fixed); None: per map.

    Returns:
        (P, h, w) float16; with ``scale`` a hotter map exceeds 1, and negative heat is 0.
    """
    classes = pairs["finding"].map(network.classes.index).to_numpy(np.int64)
    keys = np.stack([pairs["row"].to_numpy(np.int64), classes], axis=-1)
    # Sorted by image, each pair once: those of boxes often recur among those of masks.
    distinct, pair = np.unique(keys, axis=0, return_inverse=True)
    pair_grids = heat_grids(network, images, distinct[:, 0], distinct[:, 1], settings)[pair]
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
    medians = []
    for name, rows in sampled.items():
        classes = np.full(len(rows), network.classes.index(name))
        hottest = heat_grids(network, cache, rows, classes, settings).max(axis=(1, 2))
        medians.append(float(np.median(hottest)) if len(rows) else np.nan)
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
