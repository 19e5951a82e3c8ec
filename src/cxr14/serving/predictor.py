"""The predictor: calibrated probabilities, decisions, heatmaps and boxes of new images.

One network, or an ensemble whose probabilities and heatmaps are averaged. Scores of images of the
split equal predictions/BACKBONE.parquet, since the same functions compute them. The code of
heatmaps is imported when the first is computed: predictions start faster without it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.special import expit, logit
from torch.nn import init
from torch.overrides import TorchFunctionMode

from cxr14.config.localize import check_method
from cxr14.console import without_progress
from cxr14.errors import UserError
from cxr14.evaluation.predict import predict_views
from cxr14.evaluation.predictions import Logits, logit_of_mean, read_decision
from cxr14.labels import FINDINGS
from cxr14.metrics.calibration import platt_probabilities
from cxr14.models.network import Network
from cxr14.models.serialization import load_model
from cxr14.serving.description import ServingDescription
from cxr14.serving.thresholds import calibrated_thresholds, thresholds
from cxr14.training.augment import NO_VIEWS, views_of

if TYPE_CHECKING:
    from cxr14.localization.cam import SaliencySettings
    from cxr14.localization.heatmaps import Grids

BATCH = 64
"""Images per forward pass, as `evaluate.batch_size` by default: another one rounds differently."""

HEATMAP_BATCH = 8

Member = tuple[Network, dict[str, Any]]
"""A network in eval mode, and the content of its model.json."""

RANDOM_FILLS = (
    *(torch.Tensor.normal_, torch.Tensor.uniform_, init.normal_, init.uniform_),
    *(init.kaiming_normal_, init.kaiming_uniform_, init.trunc_normal_),
)


@dataclass(frozen=True)
class Predictions:
    """Predictions for N images and C classes.

    Attributes:
        classes: C names.
        logits: float32 (N, C), of the mean probability over networks and views.
        probabilities: float32 (N, C), as trained: not calibrated.
        calibrated: float64 (N, C), by Platt scaling; NaN for a class without one.
        spread: float32 (N, C), standard deviation of the uncalibrated probabilities over the
            networks of an ensemble (0 to .5, without Bessel's correction); None for one network.
        above: bool (N, C): at or above the threshold of the class; False without a threshold.
    """

    classes: tuple[str, ...]
    logits: Logits
    probabilities: npt.NDArray[np.float32]
    calibrated: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float32] | None
    above: npt.NDArray[np.bool_]

    def called(self, row: int) -> list[str]:
        """List the classes at or above their threshold in an image."""
        return [name for name, yes in zip(self.classes, self.above[row], strict=True) if yes]


class WithoutInitialization(TorchFunctionMode):
    """Skip the random numbers of new layers in the block: their weights are loaded afterwards.

    They take 0.3 s of AlexNet and 1 s of VGG-16.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Leave a tensor that is to be filled at random as it is."""
        given = kwargs or {}
        if func in RANDOM_FILLS:
            return args[0] if args else given["tensor"]
        return func(*args, **given)


def _mean(logits: Logits) -> Logits:
    """Return the logit of the mean of K probabilities; of a single one, the logit as it is."""
    return logits[0] if len(logits) == 1 else logit_of_mean(logits)


class Predictor:
    """A trained backbone or an ensemble, with its decision and its heatmap settings.

    Args:
        members: (network in eval mode, content of its model.json), of the same classes.
        decision: content of decision.json.
        description: content of serving/BACKBONE.json.
    """

    def __init__(
        self,
        members: Sequence[Member],
        decision: dict[str, Any],
        description: ServingDescription,
    ) -> None:
        self.members, self.decision, self.description = list(members), decision, description
        self.classes: tuple[str, ...] = tuple(self.members[0][1]["classes"])

    @classmethod
    def load(
        cls,
        folders: Sequence[Path],
        decision: Path,
        description: ServingDescription,
        load: Callable[[Path], Member] = load_model,
    ) -> "Predictor":
        """Load the networks of some folders, each with weights.safetensors and model.json.

        Args:
            folders: one per network.
            decision: decision.json.
            description: content of serving/BACKBONE.json.
            load: of a folder; a cache of networks may replace it.

        Raises:
            UserError: a file is missing or damaged.
        """
        with WithoutInitialization():
            members = [load(folder) for folder in folders]
        return cls(members, read_decision(decision, members[0][1]["classes"]), description)

    @property
    def findings(self) -> list[str]:
        """The classes that can have a heatmap: all but No Finding."""
        return [name for name in self.classes if name in FINDINGS]

    @cached_property
    def thresholds(self) -> npt.NDArray[np.float64]:
        """Thresholds (C,) on uncalibrated probabilities; NaN for a class without one."""
        return thresholds(self.decision, self.classes)

    @cached_property
    def calibrated_thresholds(self) -> npt.NDArray[np.float64]:
        """The same thresholds on the calibrated scale (C,), see :mod:`.thresholds`."""
        return calibrated_thresholds(self.decision, self.classes)

    def _calibrated(self, logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        return platt_probabilities(logits, self.decision["platt"], self.classes)

    def predict(self, images: npt.NDArray[np.uint8], batch_size: int = BATCH) -> Predictions:
        """Score images, on the GPU if there is one.

        Thresholds that were chosen with test-time augmentation are used with it.

        Args:
            images: uint8 (N, S, S) as in the cache, S = description.cached_size.
            batch_size: images per forward pass.
        """
        rows = np.arange(len(images))
        with without_progress():
            views = [
                predict_views(
                    network, images, rows, model["input_size"], batch_size, self._views(model)
                )
                for network, model in self.members
            ]  # K × (1 + V, N, C); V may differ, as augmentation may
        logits = np.stack([_mean(of_network) for of_network in views])  # (K, N, C)
        mean = _mean(logits)
        probabilities = expit(mean)
        return Predictions(
            self.classes,
            mean,
            probabilities,
            self._calibrated(mean),
            expit(logits).std(axis=0) if len(self.members) > 1 else None,
            probabilities >= np.nan_to_num(self.thresholds, nan=np.inf).astype(np.float32),
        )

    def spread_ends(
        self, probabilities: npt.NDArray[Any], spread: npt.NDArray[Any]
    ) -> npt.NDArray[np.float64]:
        """Return probabilities minus and plus their spread, on the calibrated scale: (2, N, C).

        Args:
            probabilities: (N, C), uncalibrated.
            spread: (N, C).
        """
        ends = np.stack([probabilities - spread, probabilities + spread]).astype(np.float64)
        return np.stack([self._calibrated(logit(end)) for end in ends.clip(1e-6, 1 - 1e-6)])

    def _views(self, model: dict[str, Any]) -> Any:
        return views_of(model) if self.decision.get("tta") else NO_VIEWS

    def heatmaps(
        self, images: npt.NDArray[np.uint8], pairs: pd.DataFrame, method: str | None = None
    ) -> "Grids":
        """Compute the heatmap of each pair; an ensemble's is the mean of its networks' maps.

        Args:
            images: uint8 (N, S, S).
            pairs: image, finding and row (of `images`) of P pairs, of :attr:`findings`.
            method: another one than that of the description; it is scaled per map then.

        Returns:
            (P, h, w) float16, 0–1, see cam.normalized_heatmaps.
        """
        from cxr14.localization.cam import normalized_heatmaps
        from cxr14.localization.evaluate import mean_grids

        fixed = self.scaling(method) == "fixed"
        scale = self.description.heatmaps.heat_scale if fixed else None
        with without_progress():
            grids = [
                normalized_heatmaps(network, images, pairs, self._settings(model, method), scale)
                for network, model in self.members
            ]
        return grids[0] if len(grids) == 1 else mean_grids(grids)

    def _settings(self, model: dict[str, Any], method: str | None) -> "SaliencySettings":
        from cxr14.localization.cam import SaliencySettings

        chosen = self.description.heatmaps
        sizes = {"train": int(model["input_size"]), "cache": self.description.cached_size}
        return SaliencySettings(
            method or chosen.method,
            HEATMAP_BATCH,
            sizes[chosen.size],
            chosen.layer,
            chosen.smoothing,
        )

    def scaling(self, method: str | None = None) -> str:
        """Return how the heatmaps of a method are scaled: per_map or fixed."""
        chosen = self.description.heatmaps
        fixed = chosen.heat_scale is not None and method in (None, chosen.method)
        return "fixed" if fixed else "per_map"

    @property
    def methods(self) -> list[str]:
        """The saliency methods that suit all networks, that of the description first."""
        from cxr14.localization.cam import METHODS

        chosen = self.description.heatmaps

        def suits(method: str) -> bool:
            try:
                for _, model in self.members:
                    check_method(method, chosen.layer, model["head"]["pooling"])
            except UserError:
                return False
            return True

        others = [name for name in METHODS if name != chosen.method and suits(name)]
        return [chosen.method, *others]

    def detect(
        self,
        pairs: pd.DataFrame,
        grids: "Grids",
        method: str | None = None,
        heat_thresholds: Sequence[int] | None = None,
    ) -> pd.DataFrame:
        """Detect the boxes of every pair at every heat threshold.

        Args:
            pairs: image, finding, row, scale, offset_x and offset_y of P pairs.
            grids: (P, h, w) of :meth:`heatmaps`.
            method: that of the heatmaps.
            heat_thresholds: of 255; None takes those of the description.

        Returns:
            image, finding, heat_threshold, x, y, width, height (pixels of the file), score
            (highest heat inside, 0–255) and scaling; see heatmaps.detect.
        """
        from cxr14.localization.heatmaps import detect

        thresholds = heat_thresholds or self.description.heatmaps.heat_thresholds
        return detect(pairs, grids, self.description.cached_size, thresholds, self.scaling(method))
