"""Blocks of chexnext/params.yaml: keys, types and ranges."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from cxr14.config.blocks import LossParams, Recipe, TrainParams
from cxr14.config.reader import Backbones, Block, ParamsError, Seed, read_block
from cxr14.errors import UserError
from cxr14.labels import FINDINGS

FILE = "chexnext/params.yaml"


class NetworksParams(Block):
    """One network per backbone and seed."""

    backbones: Backbones
    seeds: list[Seed] = Field(min_length=1, max_length=1000)

    @field_validator("seeds")
    @classmethod
    def _are_different(cls, values: list[int]) -> list[int]:
        if len(set(values)) < len(values):
            raise UserError("names one twice; name each once")
        return values


class MembersParams(NetworksParams):
    """Members; with `folds` > 1, seed s excludes fold s mod `folds` of the patients."""

    folds: int = Field(ge=1, le=1000)
    folds_seed: Seed

    @model_validator(mode="after")
    def _leave_out_every_fold(self) -> "MembersParams":
        missing = sorted(set(range(self.folds)) - {self.fold_of(seed) for seed in self.seeds})
        if missing:
            raise UserError(
                f"fold {missing[0]} of {self.folds} is left out by no member (seed mod folds), so "
                f"no member can relabel it; add seed {missing[0]}, or lower folds"
            )
        return self

    def fold_of(self, seed: int) -> int:
        """Return the fold that a member excludes; 0 without folds."""
        return seed % self.folds


def read_members() -> MembersParams:
    """Read the block `members` of chexnext/params.yaml."""
    return read_block("members", MembersParams, FILE)


def read_students() -> NetworksParams:
    """Read the block `students` of chexnext/params.yaml."""
    return read_block("students", NetworksParams, FILE)


Rate = Annotated[float, Field(ge=0, lt=1)]
OTHERS: Literal["others"] = "others"


class Rates(Block):
    """Noise of a finding: share of positives `missed`, and share of labels `wrong`."""

    missed: Rate
    wrong: Rate


class NoiseParams(Block):
    """Rates by finding, `others` for those not named; `scale` is a factor for all of them."""

    scale: float = Field(ge=0, le=1)
    seed: Seed
    rates: dict[str, Rates]

    @field_validator("rates")
    @classmethod
    def _are_of_findings(cls, rates: dict[str, Rates]) -> dict[str, Rates]:
        unknown = sorted(set(rates) - {*FINDINGS, OTHERS})
        if unknown or OTHERS not in rates:
            problem = f"{', '.join(unknown)} is no finding" if unknown else f"no {OTHERS}"
            raise UserError(f"{problem}; allowed: {', '.join(FINDINGS)}, and {OTHERS}")
        return rates

    def of(self, finding: str) -> Rates:
        """Return the scaled rates of a finding."""
        rates = self.rates.get(finding, self.rates[OTHERS])
        return Rates(missed=self.scale * rates.missed, wrong=self.scale * rates.wrong)


def read_noise() -> NoiseParams:
    """Read the block `noise` of chexnext/params.yaml."""
    return read_block("noise", NoiseParams, FILE)


class SharedRecipe(TrainParams):
    """The keys of `train` in params.yaml, without those that members and students set."""

    backbones: list[str] = Field(default=[], max_length=0)
    seed: int = Field(default=0, ge=0, le=0)


def read_chexnext_loss() -> LossParams:
    """Read the block `loss` of chexnext/params.yaml."""
    return read_block("loss", LossParams, FILE)


def read_overrides() -> dict[str, Any]:
    """Check the block `train` of chexnext/params.yaml; return its overrides by backbone."""
    return dict(read_block("train", SharedRecipe, FILE).overrides)


def read_recipe(backbone: str, seed: int) -> Recipe:
    """Read the recipe of one network out of the block `train` of chexnext/params.yaml.

    Raises:
        ParamsError: a key is unsuitable, or an override fixes the seed.
    """
    shared = read_block("train", SharedRecipe, FILE)
    if "seed" in (shared.overrides.get(backbone) or {}):
        raise ParamsError(
            f"{FILE}: train.overrides.{backbone}.seed: seeds are those of the network"
        )
    recipe = shared.model_copy(update={"backbones": [backbone], "seed": seed})
    return recipe.for_backbone(backbone, FILE)


class SelectParams(Block):
    """Selection of the best subset of members; exhaustive up to a number of members."""

    measure: Literal["auroc", "f1"]
    exhaustive_up_to: int = Field(ge=1, le=16)


class RelabelParams(Block):
    """`replace` takes the members' predictions, `union` also keeps existing positives."""

    mode: Literal["replace", "union"]


def read_select() -> SelectParams:
    """Read the block `select` of chexnext/params.yaml."""
    return read_block("select", SelectParams, FILE)


def read_relabel() -> RelabelParams:
    """Read the block `relabel` of chexnext/params.yaml."""
    return read_block("relabel", RelabelParams, FILE)
