"""How to train: the keys of `train` in params.yaml, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from cxr14.training.augment import Augment


@dataclass(frozen=True)
class Recipe:
    """The recipe of one backbone.

    Attributes:
        input_size: pixels per side.
        epochs: passes over the train part.
        batch_size: images per step, over all processes together.
        optimizer: adamw, adam or sgd.
        learning_rate: of the head; at its height.
        backbone_rate: the backbone's learning rate, as a multiple of the head's.
        weight_decay: of weights; biases and normalisation are not decayed.
        schedule: cosine, constant or plateau.
        cycles: of the cosine; more than one are warm restarts.
        warmup_fraction: share of the steps over which the learning rate rises.
        ema: decay per step of the averaged weights that are validated and kept; 0 for none.
        augment: random changes of the images.
        compile: compile the network (torch.compile).
        seed: of the order, the changes and dropout.
    """

    input_size: int
    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    backbone_rate: float
    weight_decay: float
    schedule: str
    cycles: int
    warmup_fraction: float
    ema: float
    augment: Augment
    compile: bool
    seed: int

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Recipe":
        """Pick what belongs here out of the block `train` of one backbone."""
        own = {field.name: values[field.name] for field in fields(cls)}
        return cls(**own | {"augment": Augment(**values["augment"])})
