"""Blocks of params.yaml: keys, types and ranges."""

from typing import Annotated, Any, Literal, Self, cast, get_args

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from cxr14.config.reader import (
    Backbones,
    BatchSize,
    Block,
    ParamsError,
    Seed,
    Text,
    check_block,
    read_block,
    read_yaml,
)
from cxr14.errors import UserError, quote
from cxr14.labels import CLASSES, canonical, without_no_finding

Numerics = Literal["portable", "fast"]


def read_numerics() -> Numerics:
    """Read the top-level key `numerics` of params.yaml.

    Raises:
        ParamsError: the key is missing, or its value is another one.
    """
    value = read_yaml("params.yaml").get("numerics")
    for allowed in get_args(Numerics):
        if value == allowed:
            return cast(Numerics, allowed)
    raise ParamsError(
        f"params.yaml: numerics = {quote(value)}; allowed: {', '.join(get_args(Numerics))}"
    )


def classes_of(value: Any) -> tuple[str, ...]:
    """Return the classes of the key `data.findings`, in the order of CLASSES.

    Args:
        value: `all` (the fourteen findings and No Finding), or a list of them, in any order and
            known spelling.

    Raises:
        UserError: a name is unknown or repeated, or there is no finding.
    """
    if value == "all":
        return CLASSES
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise UserError(f"allowed: all, or a list of {', '.join(CLASSES)}")
    named = [canonical(name) for name in value]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise UserError(f"{', '.join(twice)} stands twice; name each class once")
    if not without_no_finding(named):
        raise UserError("no finding is named; name at least one, or write all")
    return tuple(name for name in CLASSES if name in named)


def _check_findings(value: Any) -> Any:
    classes_of(value)
    return value


Findings = Annotated[Any, AfterValidator(_check_findings)]
"""The value of the key, validated and unchanged."""


class FindingsParams(Block):
    """The key `findings` of the block `data`; other keys are ignored."""

    model_config = ConfigDict(extra="ignore")

    findings: Findings


def read_findings() -> tuple[str, ...]:
    """Read `data.findings` of params.yaml as classes in the order of CLASSES."""
    return classes_of(read_block("data", FindingsParams).findings)


class PhantomParams(Block):
    """Number, size and seed of the phantoms, and how their findings are sampled.

    Attributes:
        images: at most one per row of NIH's table.
        size: pixels per side; NIH's images have 1024.
        contrast: of the findings; 0 hides them.
        shortcut: how far chest drains go with Pneumothorax, from 0 (independent) to 1.
        seed: of patients, anatomy and noise.
    """

    images: int = Field(gt=0, le=112_120)
    size: int = Field(ge=256, le=1024)
    contrast: float = Field(ge=0, le=100)
    shortcut: float = Field(ge=0, le=1)
    seed: Seed


class CsvParams(Block):
    """A folder of images, and its table for the source `csv` (cxr14.datasets.csv_table)."""

    source: str
    folder: Text | None
    table: Text | None
    mapping: Text | None
    uncertain: Literal["zeros", "ones", "ignore"]

    def missing_for_csv(self) -> list[str]:
        """Return the keys that the source `csv` needs and that are null."""
        keys = {"folder": self.folder, "table": self.table, "mapping": self.mapping}
        return [key for key, value in keys.items() if value is None]

    def csv_inputs(self) -> dict[str, str]:
        """Return the input files of the source `csv` as params.yaml names them, by key."""
        names = {key: getattr(self, key, None) for key in ("table", "mapping", "box_table")}
        return {key: name for key, name in names.items() if name is not None}

    def user_paths(self) -> dict[str, str]:
        """Return the user's folder and files as params.yaml names them, by key; {} without any."""
        if self.source not in ("folder", "csv") or self.folder is None:
            return {}
        files = self.csv_inputs() if self.source == "csv" else {}
        ready = {key for key, name in files.items() if key == "mapping" and "." not in name}
        return {"folder": self.folder} | {k: name for k, name in files.items() if k not in ready}


class DataParams(CsvParams):
    """Source of the images; most keys serve one source each.

    `findings` is checked here and read by training, `boxes` is the unit of the box list
    (cxr14.datasets.boxes) and read by patient-split.
    """

    source: Literal["phantom", "folder", "nih", "csv"]
    box_table: Text | None
    mirror: Text | None
    connections: int = Field(ge=1, le=16)
    boxes: Literal["auto", "nih", "image", "original", "fraction"]
    findings: Findings
    phantom: PhantomParams

    @model_validator(mode="after")
    def _csv_is_complete(self) -> "DataParams":
        missing = [f"data.{key}" for key in self.missing_for_csv()]
        if self.source == "csv" and missing:
            raise UserError(f"source csv needs {', '.join(missing)} too; see own-table.md")
        return self


def read_data() -> DataParams:
    """Read the block `data` of params.yaml."""
    return read_block("data", DataParams)


def _check_official(value: Any) -> Any:
    """Check for auto or a boolean; YAML 1.2 reads `no` as text."""
    if value == "auto" or isinstance(value, bool):
        return value
    raise UserError("allowed: auto, true or false")


class SplitParams(Block):
    """Official lists or a random split, and the fractions of the random splits."""

    official: Annotated[Literal["auto"] | bool, BeforeValidator(_check_official)]
    test_fraction: float = Field(gt=0, lt=1)
    val_fraction: float = Field(gt=0, lt=1)
    seed: Seed


def read_split() -> SplitParams:
    """Read the block `split` of params.yaml."""
    return read_block("split", SplitParams)


class PreprocessParams(Block):
    """Side of the cached images in pixels, and the handling of unusable images.

    Workers, engine and scheduler never change the bytes of the cache.
    """

    size: int = Field(ge=32, le=1024)
    on_error: Literal["fail", "skip"]
    workers: int = Field(ge=0, le=1024)
    engine: Literal["local", "dask"]
    scheduler: Text | None

    @model_validator(mode="after")
    def _engine_has_its_scheduler(self) -> "PreprocessParams":
        if (self.engine == "dask") != (self.scheduler is not None):
            raise UserError("scheduler is the address of engine dask (tcp://…), null for local")
        return self


def read_preprocess() -> PreprocessParams:
    """Read the block `preprocess` of params.yaml."""
    return read_block("preprocess", PreprocessParams)


class ModelParams(Block):
    """Initial weights (none, imagenet, a path, or the name of published ones), and the head."""

    weights: Text
    transition_channels: int = Field(gt=0, le=16_384)
    pooling: Literal["avg", "max", "lse"]
    lse_r: float = Field(gt=0, le=1e6)
    output_stride: Literal[32, 16]

    @property
    def head(self) -> dict[str, Any]:
        """The keyword arguments of cxr14.models.network.build_network."""
        return self.model_dump(exclude={"weights"})


def read_model() -> ModelParams:
    """Read the block `model` of params.yaml."""
    return read_block("model", ModelParams)


class LossParams(Block):
    """Loss, weighting of its terms, and label smoothing s of the targets y(1 − s) + s/2.

    Formulas and scales are in cxr14.training.losses.
    """

    name: Literal["cross_entropy", "hinge", "euclidean", "focal", "asymmetric"]
    weighting: Literal["batch", "class", "none"]
    smoothing: float = Field(ge=0, lt=1)


def read_loss() -> LossParams:
    """Read the block `loss` of params.yaml."""
    return read_block("loss", LossParams)


class AugmentParams(Block):
    """Random changes of a training image; every amount is uniform up to its limit.

    Attributes:
        flip: probability of a mirror image (0 keeps the heart on its side).
        rotation: degrees to either side.
        scale: relative, larger or smaller.
        shift: share of the width and of the height.
        brightness: relative, brighter or darker.
    """

    flip: float = Field(ge=0, le=1)
    rotation: float = Field(ge=0, le=180)
    scale: float = Field(ge=0, lt=1)
    shift: float = Field(ge=0, lt=1)
    brightness: float = Field(ge=0, lt=1)


def _check_freeze(value: Any) -> Any:
    """Check for none, backbone or a number of layers; the maximum depends on the backbone."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if value in ("none", "backbone") or (is_number and 1 <= value <= MAX_LAYERS):
        return value
    raise UserError("allowed: none, backbone, or a number of layers from 1 on")


MAX_LAYERS = 10_000
"""More than any backbone has."""

Freeze = Annotated[
    Literal["none", "backbone"] | Annotated[int, Field(ge=1, le=MAX_LAYERS)],
    BeforeValidator(_check_freeze),
]
"""What keeps its initial weights: nothing, the backbone, or its first layers."""


class Recipe(Block):
    """Training recipe of one backbone.

    Attributes:
        input_size: pixels per side.
        epochs: passes over the train split.
        batch_size: images per forward and backward pass, over all processes together.
        accumulate: batches per optimizer step, whose gradients are averaged.
        freeze: what keeps its initial weights, see cxr14.models.network.Network.freeze.
        clip_norm: maximum norm of the gradient of all trained weights together; None for none.
        optimizer: its name.
        learning_rate: maximum learning rate of the head.
        backbone_rate: the backbone's learning rate, as a multiple of the head's.
        weight_decay: of weights; biases and normalisation are not decayed.
        schedule: of the learning rate.
        cycles: of the cosine; more than one are warm restarts.
        warmup_fraction: share of the optimizer steps over which the learning rate rises.
        ema: decay per optimizer step of the averaged weights that are kept; 0 for none.
        augment: random changes of the images.
        device: where the network is trained.
        precision: of the forward pass.
        compile: whether the network is compiled (torch.compile).
        processes: ranks on this machine.
        seed: of the initial weights, the order, the augmentation and dropout.
    """

    input_size: int = Field(ge=32, le=1024)
    epochs: int = Field(gt=0, le=100_000)
    batch_size: int = Field(gt=1, le=65_536)
    accumulate: int = Field(default=1, ge=1, le=65_536)
    freeze: Freeze = "none"
    clip_norm: float | None = Field(default=None, gt=0, le=1e6)
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

    @model_validator(mode="after")
    def plateau_has_no_warmup(self) -> Self:
        """Check that `plateau`, which works by epochs, has no warm-up, which works by steps."""
        if self.schedule == "plateau" and self.warmup_fraction:
            raise UserError("schedule plateau goes with warmup_fraction 0 only")
        return self

    @model_validator(mode="after")
    def processes_share_a_batch(self) -> Self:
        """Check that the processes can share a batch equally, at least two images each."""
        size, count = self.batch_size, self.processes
        if size % count or (count > 1 and size < 2 * count):
            raise UserError(
                f"train.batch_size is {size}, which {count} processes (train.processes) cannot "
                f"share equally, at least two images each; choose a multiple of {count} from "
                f"{2 * count} on"
            )
        return self


class TrainParams(Recipe):
    """The recipe for every backbone; `overrides.<backbone>` changes keys for one."""

    backbones: Backbones
    overrides: dict[str, dict[str, Any] | None]

    def for_backbone(self, backbone: str, file: str = "params.yaml") -> Recipe:
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
        overrides = self.overrides.get(backbone) or {}
        values = self.model_dump(exclude={"backbones", "overrides"})
        if isinstance(overrides.get("augment"), dict):
            overrides = overrides | {"augment": values["augment"] | overrides["augment"]}
        return check_block(f"train (overrides.{backbone})", Recipe, values | overrides, file)


def read_train() -> TrainParams:
    """Read the block `train` of params.yaml."""
    return read_block("train", TrainParams)


class EvaluateParams(Block):
    """Batch size of the forward passes (images), and whether to average over views (TTA)."""

    batch_size: BatchSize
    tta: bool = False


def read_evaluate() -> EvaluateParams:
    """Read the block `evaluate` of params.yaml."""
    return read_block("evaluate", EvaluateParams)


def check_tta(backbone: str, limits: AugmentParams) -> None:
    """Raise UserError if the limits allow test-time augmentation no view but the image itself."""
    if not any((limits.rotation, limits.scale, limits.shift, limits.flip)):
        raise UserError(
            f"evaluate.tta is true, but rotation, scale, shift and flip of train.augment are 0 for "
            f"{backbone}, so the image is its only view; set evaluate.tta to false, or raise one"
        )
