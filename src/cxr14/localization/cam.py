"""Heatmaps by CAM, Grad-CAM and their variants, at any layer, and their normalization.

A heatmap is computed from the activations of a layer, and the gradient of a class's logit with
respect to them. The layer is the last one (`localize.layer: last`, the transition), or the deepest
layer with a given stride. A pixel of the last layer may depend on the whole image, in particular if
the image is small. So its position says little about that of the evidence. The gradient at a finer
layer leads back to it (Jiang et al. 2021, "LayerCAM", section IV).

Two normalizations map heat to 0–255. ``per_map`` (Wang et al. 2017) maps the minimum of each
heatmap to 0 and its maximum to 255. ``fixed`` maps 0 and negative heat to 0, and the **heat scale**
of the finding to 255. The heat scale is the median, over the validation images labelled with the
finding, of the maximum of the heatmap.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy import ndimage
from torch import Tensor

from cxr14.config.localize import LocalizeParams, check_method
from cxr14.console import track
from cxr14.errors import UserError
from cxr14.localization.heatmaps import Grids
from cxr14.localization.overlap import scaled_to_255
from cxr14.models.inference import deterministic_inference, prepare
from cxr14.models.maps import layers_up_to

if TYPE_CHECKING:
    from cxr14.models.network import Network

TensorFunction = Callable[[Tensor], Tensor]


def cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """CAM (Zhou et al. 2016, arXiv 1512.04150): Σ_k w_k A_k.

    For average pooling, the weight w_k of the prediction layer is the sum of the gradient over
    space.

    Returns:
        (P, h, w), of either sign; the mean over space plus the bias is the logit.
    """
    return (gradients.sum(dim=(2, 3), keepdim=True) * activations).sum(dim=1)  # equation 2


def grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391): ReLU(Σ_k α_k A_k).

    The weight α_k of a channel is its mean gradient. At the last layer the heatmap equals
    ReLU(CAM) / (h·w), for max and lse pooling too: over space the gradients add up to the weight
    w_k of the prediction layer.

    Returns:
        (P, h, w), not negative.
    """
    weights = gradients.mean(dim=(2, 3), keepdim=True)  # equation 1
    return (weights * activations).sum(dim=1).relu()  # equation 2


def grad_cam_pp(activations: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM++ (Chattopadhyay et al. 2018, arXiv 1710.11063).

    ReLU(Σ_k A_k Σ_ij α_ij ReLU(g_ij)) with g the gradients and α = g² / (2g² + S·g³), S the sum of
    the channel over space (equation 19, score = exp(logit)). The factor exp(logit), common to a
    heatmap, is left out. Only g > 0 counts, so g² cancels and no denominator is 0. Other
    implementations add a small number to the denominator, which changes the heatmap: g² ≈ 10⁻⁶ for
    average pooling. There the weight of a channel is ReLU(w) / (2 + w · its mean).

    Returns:
        (P, h, w), not negative.
    """
    positive = gradients.relu()
    sums = activations.sum(dim=(2, 3), keepdim=True)  # (P, T, 1, 1), not negative
    weights = (positive / (2 + sums * positive)).sum(dim=(2, 3), keepdim=True)
    return (weights * activations).sum(dim=1).relu()


def hires_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """HiResCAM (Draelos and Carin 2020, arXiv 2011.08891): ReLU(Σ_k g_k A_k).

    Each pixel is weighted by its gradient, of either sign. At the last layer, with average pooling,
    all pixels have the same gradient, and HiResCAM equals Grad-CAM.

    Returns:
        (P, h, w), not negative.
    """
    return (gradients * activations).sum(dim=1).relu()  # equation 5


def layer_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """LayerCAM (Jiang et al. 2021, IEEE Trans. Image Process. 30: 5875–5888).

    ReLU(Σ_k ReLU(g_k) A_k): each pixel is weighted by its positive gradient, so that heatmaps of
    fine layers are sharp. At the last layer, with average pooling, it is the CAM of the positive
    weights, divided by h·w.

    Returns:
        (P, h, w), not negative.
    """
    return (gradients.relu() * activations).sum(dim=1).relu()


Method = Callable[[Tensor, Tensor], Tensor]
"""Function of the activations (P, T, h, w) of P pairs, and of the gradients of their logits with
respect to them, of the same shape. It returns heatmaps (P, h, w) of any scale."""

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
    smoothing: float = 0.0  # standard deviation of the Gaussian, as a share of the heatmap's side

    @classmethod
    def of_params(
        cls, params: LocalizeParams, train_size: int, cache_size: int
    ) -> "SaliencySettings":
        """Return the settings of the block `localize`.

        Args:
            params: the block.
            train_size: pixels per side of the images that the network was trained on.
            cache_size: pixels per side of the cached images.
        """
        input_size = train_size if params.size == "train" else cache_size
        return cls(params.method, params.batch_size, input_size, params.layer, params.smoothing)


def split_at_layer(network: "Network", layer: int | str) -> tuple[TensorFunction, TensorFunction]:
    """Split a network at a layer into two functions: images to activations, activations to logits.

    Args:
        network: (B, 3, s, s) to (B, C).
        layer: last (the transition), or a stride, which selects the deepest layer of the backbone
            with at most this number of pixels of the image per pixel of the layer.

    Raises:
        UserError: no layer has this stride.
    """
    if layer == "last":
        return network.maps, network.score
    to_activations, remaining_layers = layers_up_to(network.features, int(layer))
    if not len(to_activations):
        raise UserError(
            f"localize.layer is {layer}, but {network.backbone} has no layer of that stride; "
            f"set a larger one, or last"
        )

    def to_logits(activations: Tensor) -> Tensor:
        return network.score(network.head.transition(remaining_layers(activations)))

    return to_activations, to_logits


def logit_gradients(to_logits: TensorFunction, activations: Tensor, classes: Tensor) -> Tensor:
    """Gradient of each pair's logit with respect to the pair's activations.

    Args:
        to_logits: activations to logits; must not mix pairs.
        activations: (P, T, h, w); not modified.
        classes: int64 (P,), the class of each pair.

    Returns:
        (P, T, h, w): ∂logit/∂activation.
    """
    activations = activations.detach().requires_grad_()
    with torch.enable_grad():
        logits = to_logits(activations).gather(1, classes[:, None]).sum()
    (gradients,) = torch.autograd.grad(logits, activations)
    return gradients


def raw_heatmaps(
    network: "Network",
    images: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
    classes: npt.NDArray[np.int64],
    settings: SaliencySettings,
) -> npt.NDArray[np.float32]:
    """Compute the heatmap of each of P pairs of an image and a class, on the grid of the layer.

    Pairs of the same image share the forward pass up to the layer if they are in the same batch.

    Args:
        network: in eval mode.
        images: (N, S, S) uint8, the cache.
        rows: (P,) row in the cache of each pair's image.
        classes: (P,) index of each pair's class in the network's classes.
        settings: settings of the heatmaps.

    Returns:
        (P, h, w) float32, smoothed but not normalized; only cam can be negative.

    Raises:
        UserError: the method does not fit the network, the network has no such layer, or it is
            in training mode.
    """
    if network.training:
        raise UserError("heatmaps need a network in evaluation mode; call network.eval() first")
    check_method(settings.method, settings.layer, network.pooling)
    to_activations, to_logits = split_at_layer(network, settings.layer)
    size, method, heatmaps = settings.batch_size, METHODS[settings.method], []
    with deterministic_inference(network) as device, torch.no_grad():
        for start in track(range(0, len(rows), size), f"{len(rows)} heatmaps"):
            batch_rows, image_of_pair = np.unique(rows[start : start + size], return_inverse=True)
            batch = prepare(torch.from_numpy(images[batch_rows]).to(device), settings.input_size)
            activations = to_activations(batch)[torch.from_numpy(image_of_pair)]
            batch_classes = torch.from_numpy(classes[start : start + size]).to(device)
            gradients = logit_gradients(to_logits, activations, batch_classes)
            heatmaps.append(method(activations, gradients).float().cpu().numpy())
    heat = np.concatenate(heatmaps) if heatmaps else np.zeros((0, 1, 1), np.float32)
    return smooth_heatmaps(heat, settings.smoothing)


def smooth_heatmaps(heatmaps: npt.NDArray[np.float32], smoothing: float) -> npt.NDArray[np.float32]:
    """Smooth heatmaps (P, h, w) by a Gaussian.

    The border is reflected, which keeps the sum of a heatmap. Repeating the outermost pixels would
    multiply the heat at the border.

    Args:
        heatmaps: float32 (P, h, w).
        smoothing: standard deviation as a share of each side.
    """
    down, across = (smoothing * side for side in heatmaps.shape[1:])
    return np.asarray(ndimage.gaussian_filter(heatmaps, (0, down, across), mode="reflect"))


def normalized_heatmaps(
    network: "Network",
    images: npt.NDArray[np.uint8],
    pairs: pd.DataFrame,
    settings: SaliencySettings,
    scale: Mapping[str, float] | None = None,
) -> Grids:
    """Compute the normalized heatmap of each pair, on the grid of the layer.

    Values are rounded as in heatmaps.npz, so that the boxes can be reproduced from the file.

    Args:
        network: in eval mode.
        images: (N, S, S) uint8, the cache.
        pairs: image, finding and row of P pairs, of findings among the network's classes.
        settings: settings of the heatmaps.
        scale: the heat that becomes 1, by finding (scaling = fixed); None: per map.

    Returns:
        (P, h, w) float16. With ``scale``, hotter pixels exceed 1, and negative heat is 0.
    """
    classes = pairs["finding"].map(network.classes.index).to_numpy(np.int64)
    keys = np.stack([pairs["row"].to_numpy(np.int64), classes], axis=-1)
    # Sorted by image, each pair once: many pairs have both a box and a mask.
    unique_keys, inverse = np.unique(keys, axis=0, return_inverse=True)
    unique_rows, unique_classes = unique_keys.T
    heatmaps = raw_heatmaps(network, images, unique_rows, unique_classes, settings)[inverse]
    if scale is None:
        return (scaled_to_255(heatmaps) / 255).astype(np.float16)
    pair_scale = pairs["finding"].map(scale).to_numpy(np.float32)[:, None, None]
    # The maximum of float16 is 65504.
    return np.asarray(np.clip(heatmaps / pair_scale, 0, 60_000), np.float16)


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
        settings: settings of the heatmaps.

    Returns:
        finding, scaling, images (number used), heat_scale (above 0; null for ``per_map``) and
        reason (null if the scale is that of the finding's images).

    Raises:
        UserError: no finding has heat in its validation images.
    """
    table = pd.DataFrame({"finding": list(findings)}).assign(scaling=scaling)
    if scaling == "per_map":
        return table.assign(images=0, heat_scale=np.nan, reason=PER_MAP)
    counts, medians = [], []
    for name in findings:
        rows = _evenly_spaced(validation.loc[validation[name] == 1, "row"])
        classes = np.full(len(rows), network.classes.index(name))
        maxima = raw_heatmaps(network, cache, rows, classes, settings).max(axis=(1, 2))
        medians.append(float(np.median(maxima)) if len(rows) else np.nan)
        counts.append(len(rows))
    return _fill_missing(table.assign(images=counts, heat_scale=np.asarray(medians, np.float64)))


def _fill_missing(table: pd.DataFrame) -> pd.DataFrame:
    """Fill a missing heat scale with the median of the other findings, and add the reason."""
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


def _evenly_spaced(rows: "pd.Series[int]") -> npt.NDArray[np.int64]:
    """Take at most MAX_VALIDATION_IMAGES of the rows, evenly spaced."""
    count = min(len(rows), MAX_VALIDATION_IMAGES)
    indices = np.linspace(0, len(rows) - 1, count).round().astype(int)
    return np.asarray(rows.to_numpy(np.int64)[indices])
