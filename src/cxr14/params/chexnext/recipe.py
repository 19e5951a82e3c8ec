"""The blocks `loss` and `train` of chexnext/params.yaml: how members and students are trained."""

from typing import Any

from pydantic import Field

from cxr14.params._read import ParamsError, read_block
from cxr14.params.chexnext import FILE
from cxr14.params.loss import LossParams
from cxr14.params.train import TrainParams


class SharedRecipe(TrainParams):
    """The keys of `train` in params.yaml, without those that members and students set."""

    backbones: list[str] = Field(default=[], max_length=0)
    seed: int = Field(default=0, ge=0, le=0)


def read_loss() -> LossParams:
    """Read the block `loss` of chexnext/params.yaml."""
    return read_block("loss", LossParams, FILE)


def read_overrides() -> dict[str, Any]:
    """Check the block `train` of chexnext/params.yaml; return its overrides by backbone."""
    return dict(read_block("train", SharedRecipe, FILE).overrides)


def read_recipe(backbone: str, seed: int) -> TrainParams:
    """Read the recipe of one network out of the block `train` of chexnext/params.yaml.

    Raises:
        ParamsError: a key is unsuitable, or an override fixes the seed.
    """
    shared = read_block("train", SharedRecipe, FILE)
    if "seed" in (shared.overrides.get(backbone) or {}):
        raise ParamsError(
            f"{FILE}: train.overrides.{backbone}.seed: seeds are those of the network"
        )
    own = shared.model_copy(update={"backbones": [backbone], "seed": seed})
    return own.for_backbone(backbone, FILE)
