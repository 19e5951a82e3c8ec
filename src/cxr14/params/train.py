"""The block `train`: the recipe, with overrides per backbone."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from cxr14.errors import UserError, quote
from cxr14.params._read import (
    Backbones,
    Block,
    ParamsError,
    Seed,
    check_block,
    read_block,
)


def unequal_shares(batch_size: int, processes: int) -> str | None:
    """Return why processes cannot share a batch equally, at least two images each; else None."""
    if batch_size % processes == 0 and (processes == 1 or batch_size >= 2 * processes):
        return None
    return (
        f"train.batch_size is {batch_size}, which {processes} processes (train.processes) cannot "
        f"share equally, at least two images each; choose a multiple of {processes} from "
        f"{2 * processes} on"
    )


class AugmentParams(Block):
    """Random changes of a training image, uniform up to the given amount."""

    flip: float = Field(ge=0, le=1)
    rotation: float = Field(ge=0, le=180)
    scale: float = Field(ge=0, lt=1)
    shift: float = Field(ge=0, lt=1)
    brightness: float = Field(ge=0, lt=1)


class TrainParams(Block):
    """The recipe for every backbone; `overrides.<backbone>` changes keys for one."""

    backbones: Backbones
    input_size: int = Field(ge=32, le=1024)
    epochs: int = Field(gt=0, le=100_000)
    batch_size: int = Field(gt=1, le=65_536)
    optimizer: Literal["adamw", "adam", "sgd"]
    learning_rate: float = Field(gt=0, le=100)
    backbone_rate: float = Field(gt=0, le=1000)
    weight_decay: float = Field(ge=0, le=100)
    schedule: Literal["cosine", "constant", "plateau"]
    cycles: int = Field(gt=0, le=100_000)
    warmup_fraction: float = Field(ge=0, lt=1)
    ema: float = Field(ge=0, lt=1)
    augment: AugmentParams
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "fp32", "bf16"]
    compile: bool
    processes: int = Field(gt=0, le=256)
    seed: Seed
    overrides: dict[str, dict[str, Any] | None]

    @model_validator(mode="after")
    def plateau_has_no_warmup(self) -> Self:
        """Refuse what no schedule does: it goes by epochs, a warm-up by steps."""
        if self.schedule == "plateau" and self.warmup_fraction:
            raise UserError("schedule plateau goes with warmup_fraction 0 only")
        return self

    @model_validator(mode="after")
    def processes_share_a_batch(self) -> Self:
        """Refuse a batch that the processes cannot share."""
        if problem := unequal_shares(self.batch_size, self.processes):
            raise UserError(problem)
        return self

    def for_backbone(self, backbone: str, file: str = "params.yaml") -> "TrainParams":
        """Return the recipe of one backbone, its overrides applied.

        Args:
            backbone: one of `backbones`.
            file: that the block was read from, for errors.

        Raises:
            ParamsError: the backbone is not in `train.backbones`, or an override is unsuitable.
        """
        if backbone not in self.backbones:
            listed = ", ".join(self.backbones)
            raise ParamsError(f"backbone {quote(backbone)} is not in train.backbones: {listed}")
        own = self.overrides.get(backbone) or {}
        where, values = f"train (overrides.{backbone})", self.model_dump()
        for key in {"backbones", "overrides"} & own.keys():
            raise ParamsError(f"{file}: {where}.{key}: cannot be overridden for a backbone")
        if isinstance(own.get("augment"), dict):
            own = own | {"augment": values["augment"] | own["augment"]}
        return check_block(where, TrainParams, values | own | {"overrides": {}}, file)


def read() -> TrainParams:
    """Read the block `train` of params.yaml."""
    return read_block("train", TrainParams)
