"""The blocks `members` and `students`: which networks there are."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from cxr14.errors import UserError
from cxr14.params._read import Block, read_block
from cxr14.params.chexnext import FILE


class NetworksParams(Block):
    """A network for each of the backbones with each of the seeds."""

    backbones: list[str] = Field(min_length=1)
    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)

    @field_validator("backbones", "seeds")
    @classmethod
    def _are_different(cls, values: list[str] | list[int]) -> list[str] | list[int]:
        if len(set(values)) < len(values):
            raise UserError("names one twice; name each once")
        return values


class MembersParams(NetworksParams):
    """Members; with `folds` > 1 that of seed s leaves out fold s mod `folds` of the patients."""

    folds: int = Field(ge=1)
    folds_seed: int = Field(ge=0)

    @model_validator(mode="after")
    def _leave_out_every_fold(self) -> "MembersParams":
        missing = sorted(set(range(self.folds)) - {self.fold_of(seed) for seed in self.seeds})
        if missing:
            raise UserError(
                f"fold {missing[0]} of {self.folds} is left out by no member (seed mod folds), so "
                f"nobody could relabel it; add seed {missing[0]}, or lower folds"
            )
        return self

    def fold_of(self, seed: int) -> int:
        """Return the fold that a member leaves out; of the plain form the only one, 0."""
        return seed % self.folds


def read_members() -> MembersParams:
    """Read the block `members` of chexnext/params.yaml."""
    return read_block("members", MembersParams, FILE)


def read_students() -> NetworksParams:
    """Read the block `students` of chexnext/params.yaml."""
    return read_block("students", NetworksParams, FILE)
