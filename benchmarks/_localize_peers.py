"""Heatmaps of the eight boxed findings, by this package and by pytorch-grad-cam."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cxr14.labels import BOXED
from cxr14.localization.cam import METHODS, SaliencySettings, raw_heatmaps
from cxr14.localization.heatmaps import upsampled
from cxr14.localization.overlap import scaled_to_255
from cxr14.models.inference import prepare
from cxr14.models.network import Network

Images = npt.NDArray[np.uint8]  # (N, S, S)
Heat = npt.NDArray[np.float32]  # (N, 8, S, S), each map 0–1
Way = Callable[[], Heat]

RIVALS = {
    "gradcam": "GradCAM",
    "cam": "GradCAM",  # for average pooling the same up to a ReLU and a factor
    "gradcam_pp": "GradCAMPlusPlus",
    "layercam": "LayerCAM",
}


def at_full_size(grids: npt.NDArray[np.float32], size: int) -> Heat:
    """Upsample grids (N, 8, h, w) and scale each map to 0–1."""
    maps = upsampled(grids.reshape(-1, *grids.shape[2:]), size)
    return scaled_to_255(maps).reshape(*grids.shape[:2], size, size) / 255


def ours(network: Network, images: Images, method: str, batch_size: int) -> Way:
    """Return the function of the stage."""
    size, count = images.shape[-1], len(positions(network))
    rows = np.repeat(np.arange(len(images)), count)
    classes = np.tile(np.array(positions(network)), len(images))
    settings = SaliencySettings(method, batch_size * count, size)

    def run() -> Heat:
        grids = raw_heatmaps(network, images, rows, classes, settings)
        return at_full_size(grids.reshape(len(images), count, *grids.shape[1:]), size)

    return run


def theirs(network: Network, images: Images, name: str, batch_size: int, frozen: bool) -> Way:
    """Return pytorch-grad-cam's function: a call per finding and batch."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    make = getattr(pytorch_grad_cam, name)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)

    def run() -> Heat:
        network.features.requires_grad_(not frozen)
        batches = []
        with make(model=network, target_layers=[network.head.transition]) as cam:
            for start in range(0, len(images), batch_size):
                batch = torch.from_numpy(images[start : start + batch_size]).to(device)
                inputs = prepare(batch, images.shape[-1])
                maps = [
                    cam(inputs, [ClassifierOutputTarget(position)] * len(inputs))
                    for position in positions(network)
                ]
                batches.append(np.stack(maps, axis=1))
        network.features.requires_grad_(True)
        return np.concatenate(batches)

    return run


def positions(network: Network) -> list[int]:
    """Return the class indices of the boxed findings."""
    return [network.classes.index(name) for name in BOXED]


def grad_cam_pp_as_theirs(maps: Tensor, gradient: Tensor) -> Tensor:
    """Compute Grad-CAM++ with the epsilon of pytorch-grad-cam, for the comparison only."""
    sums = maps.sum(dim=(2, 3), keepdim=True)
    alpha = gradient**2 / (2 * gradient**2 + sums * gradient**3 + 1e-6)
    weights = (alpha * gradient.relu()).sum(dim=(2, 3), keepdim=True)
    return (weights * maps).sum(dim=1).relu()


METHODS["ReLU(cam)"] = lambda maps, gradient: METHODS["cam"](maps, gradient).relu()
METHODS["gradcam_pp as theirs"] = grad_cam_pp_as_theirs
ALIKE = {"cam": "ReLU(cam)", "gradcam_pp": "gradcam_pp as theirs"}


def differences(network: Network, images: Images, method: str, batch_size: int) -> list[float]:
    """Return the largest differences from their maps (range 0–1): with their epsilon, and ours."""
    rival = theirs(network, images, RIVALS[method], batch_size, frozen=True)()
    return [
        float(np.abs(ours(network, images, name, batch_size)() - rival).max())
        for name in (ALIKE.get(method, method), method)
    ]
