"""Arms of the ablation, and the names and settings of its experiments."""

from collections.abc import Sequence
from dataclasses import dataclass

from cxr14.config.blocks import TrainParams
from cxr14.errors import UserError, quote

QUICK = 3
"""A quick run trains for this fraction of the epochs."""


@dataclass(frozen=True)
class Arm:
    """A weighting of the loss and a pooling of the features."""

    weighting: str
    pooling: str

    def __str__(self) -> str:
        """Return its name in tables."""
        return f"{self.weighting}, {self.pooling}"


REFERENCE = Arm("batch", "avg")
ARMS = (
    REFERENCE,
    Arm("none", "avg"),
    Arm("class", "avg"),
    Arm("batch", "max"),
    Arm("batch", "lse"),
)
"""Weightings at average pooling, and poolings at batch weights; the reference is in both."""


@dataclass(frozen=True)
class Experiment:
    """One experiment of `dvc exp`: an arm with one seed, for all backbones."""

    name: str
    arm: Arm
    seed: int
    settings: tuple[str, ...]


def plan(
    params: TrainParams, backbones: Sequence[str], seeds: Sequence[int], quick: bool
) -> list[Experiment]:
    """List the experiments; the same arguments give the same names.

    Args:
        params: the block `train` as it is in params.yaml.
        backbones: trained in every experiment.
        seeds: of training.
        quick: train for a third of the epochs.

    Raises:
        UserError: a backbone or seed is named twice, or a backbone's overrides fix the seed.
    """
    for option, values in (("backbones", backbones), ("seeds", seeds)):
        if len(set(values)) < len(values):
            text = ",".join(map(str, values))
            raise UserError(f"--{option} is {quote(text)}; name each once")
    for name in backbones:
        if "seed" in (params.overrides.get(name) or {}):
            where = f"params.yaml: train.overrides.{name}.seed"
            raise UserError(f"{where} fixes what the ablation varies; take it out")
    fixed = [f"train.backbones=[{','.join(backbones)}]"]
    fixed += _fewer_epochs(params, backbones) if quick else []
    stem = "-".join(["ablation", *backbones, *(["quick"] if quick else [])])
    return [_experiment(stem, arm, seed, fixed) for seed in seeds for arm in ARMS]


def _experiment(stem: str, arm: Arm, seed: int, fixed: Sequence[str]) -> Experiment:
    varied = (
        f"loss.weighting={arm.weighting}",
        f"model.pooling={arm.pooling}",
        f"train.seed={seed}",
    )
    name = f"{stem}-{arm.weighting}-{arm.pooling}-{seed}"
    return Experiment(name, arm, seed, (*varied, *fixed))


def _fewer_epochs(params: TrainParams, backbones: Sequence[str]) -> list[str]:
    """Return the settings that cut each backbone's own number of epochs."""
    listed = params.model_copy(update={"backbones": list(backbones)})
    epochs_of = {name: listed.for_backbone(name).epochs for name in backbones}
    return [
        f"++train.overrides.{name}.epochs={max(1, round(epochs / QUICK))}"
        for name, epochs in epochs_of.items()
    ]
