"""The blocks `members` and `students`: which networks there are."""

from pydantic import Field, field_validator, model_validator

from cxr14.errors import UserError
from cxr14.params._read import Backbones, Block, Seed, read_block
from cxr14.params.chexnext import FILE


class NetworksParams(Block):
    """A network for each of the backbones with each of the seeds."""

    backbones: Backbones
    seeds: list[Seed] = Field(min_length=1, max_length=1000)

    @field_validator("seeds")
    @classmethod
    def _are_different(cls, values: list[int]) -> list[int]:
        if len(set(values)) < len(values):
            raise UserError("names one twice; name each once")
        return values


class MembersParams(NetworksParams):
    """Members; with `folds` > 1 that of seed s leaves out fold s mod `folds` of the patients."""

    folds: int = Field(ge=1, le=1000)
    folds_seed: Seed

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
