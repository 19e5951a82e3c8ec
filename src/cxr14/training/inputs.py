"""Inputs of a training run: images, labels, initial weights; and checks before it starts."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cxr14.config.blocks import unequal_shares
from cxr14.datasets.records import read_records, read_split
from cxr14.errors import UserError
from cxr14.io import read_json, sha256
from cxr14.labels import CLASSES, MORE_POSITIVES, label_matrix, without_no_finding
from cxr14.models.backbones import check_input_size
from cxr14.models.inference import prepare
from cxr14.models.network import Network, build_network
from cxr14.models.pretrained import (
    has_normalization,
    initialize_lsuv,
    load_imagenet,
    load_project_weights,
)
from cxr14.preprocessing.cache import ARRAY, INDEX, open_cache, rows_of

CACHE, RECORDS, SPLIT = Path("data/cache"), Path("data/records"), Path("data/split")
PRETRAINED = Path("data/pretrained")
START_IMAGES = 64


@dataclass(frozen=True)
class Tables:
    """Paths of the label table and the split table, which list the same images."""

    labels: Path = RECORDS / "images.parquet"
    split: Path = SPLIT / "split.parquet"


DEFAULT_TABLES = Tables()
"""The labels of the records, and the split: what the stage `train` sees."""

Images = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
Labels = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Data:
    """The cache, and where in it the two parts lie that training sees.

    Attributes:
        images: uint8 (N, S, S), mapped from the file.
        train_images: M names.
        train_rows: int64 (M,), rows of `images`.
        train_labels: float32 (M, C).
        val_rows: int64 (K,).
        val_labels: float32 (K, C).
        classes: C names of the columns of the labels.
    """

    images: Images
    train_images: list[str]
    train_rows: Rows
    train_labels: Labels
    val_rows: Rows
    val_labels: Labels
    classes: Sequence[str]


def read_data(classes: Sequence[str] = CLASSES, tables: Tables = DEFAULT_TABLES) -> Data:
    """List train and val; no image is read yet, and the test part never is.

    Seen are the images in the cache's index; one without pixels, or skipped there, is not.

    Args:
        classes: the columns of the labels.
        tables: labels and split; the split may hold other parts too, which nobody sees.

    Raises:
        FileNotFoundError: the cache is not there.
        UserError: a part has no images in the cache, or the split is of another table.
    """
    images, index = open_cache(CACHE)
    records, split = read_records(tables.labels), read_split(tables.split)
    if split.image.tolist() != records.image.tolist():
        raise UserError(
            f"{tables.split} does not list the images of {tables.labels} in their "
            f"order; make both again with `dvc repro --force patient-split`"
        )
    records["split"] = split.split.to_numpy()
    visible = records[records.image.isin(index.image)]
    parts: list[tuple[list[str], Rows, Labels]] = []
    for part in ("train", "val"):
        rows = visible[visible.split == part]
        if rows.empty:
            raise UserError(f"no image of the {part} part is in {CACHE} (metrics/preprocess.json)")
        labels = label_matrix(rows, classes)
        parts.append((rows.image.tolist(), rows_of(index, rows.image), labels))
    (train_images, train_rows, train_labels), (_, val_rows, val_labels) = parts
    return Data(images, train_images, train_rows, train_labels, val_rows, val_labels, classes)


def check_fits(recipe: Mapping[str, Any], data: Data) -> None:
    """Refuse a size or a batch that the data or the processes do not allow.

    Args:
        recipe: the block `train` of one backbone.
        data: train and validation.

    Raises:
        UserError: naming the key, its value, and what is allowed.
    """
    cached, count = data.images.shape[1], len(data.train_labels)
    if recipe["input_size"] > cached:
        raise UserError(
            f"train.input_size is {recipe['input_size']}, but the cache holds {cached} px; raise "
            f"preprocess.size or lower train.input_size"
        )
    batch = recipe["batch_size"]
    if batch > count:
        raise UserError(
            f"train.batch_size is {batch}, but the train part has {count} images; lower it"
        )
    if problem := unequal_shares(batch, recipe["processes"]):
        raise UserError(problem)


def check_trainable(labels: Labels, classes: Sequence[str] = CLASSES) -> list[str]:
    """Return the findings that lack positives or negatives in train (N, C).

    Raises:
        UserError: no finding is trainable.
    """
    share = dict(zip(classes, labels.mean(axis=0), strict=True))
    findings = without_no_finding(classes)
    lacking = [name for name in findings if share[name] in (0, 1)]
    if lacking == findings:
        raise UserError("no finding has both positives and negatives in the train part")
    return lacking


def check_scorable(labels: Labels, untrainable: Sequence[str], classes: Sequence[str]) -> None:
    """Refuse a val part by which no epoch could be chosen.

    Args:
        labels: of val, (K, C).
        untrainable: findings that train cannot teach.
        classes: C names of the columns.

    Raises:
        UserError: no trainable finding has both positives and negatives in val.
    """
    share = dict(zip(classes, labels.mean(axis=0), strict=True))
    trainable = [name for name in without_no_finding(classes) if name not in untrainable]
    if not any(0 < share[name] < 1 for name in trainable):
        raise UserError(
            f"no trainable finding ({', '.join(trainable)}) has both positives and negatives among "
            f"the {len(labels)} images of val, so no epoch can be scored; {MORE_POSITIVES}"
        )


def warn_of_untrainable(findings: Sequence[str]) -> None:
    """Warn of findings that lack positives or negatives, if there are any."""
    if findings:
        warnings.warn(
            f"no positive or no negative image to train on: {', '.join(findings)}", stacklevel=2
        )


def initialization_images(data: Data) -> Images:
    """Return a few images spread over the train part, uint8 (START_IMAGES, S, S)."""
    indices = np.linspace(0, len(data.train_rows) - 1, START_IMAGES).astype(np.int64)
    return np.asarray(data.images[data.train_rows[indices]])


def initial_network(
    backbone: str,
    head: dict[str, Any],
    images: Images,
    recipe: Mapping[str, Any],
    classes: Sequence[str] = CLASSES,
) -> Network:
    """Build the network, with the starting weights that the stage `pretrained` left.

    Args:
        backbone: name of the backbone.
        head: transition_channels, pooling, lse_r, output_stride.
        images: uint8 (B, S, S), of the train part; they balance the random weights of a network
            without normalisation layers (see cxr14.models.pretrained).
        recipe: the block `train` of the backbone: `seed` of the random weights, and `input_size`.
        classes: what it predicts.
    """
    size = recipe["input_size"]
    network = build_network(backbone, **head, seed=recipe["seed"], classes=classes)
    check_input_size(network.features, backbone, size)
    folder = PRETRAINED / backbone
    weights = read_json(folder / "source.json", "weights")["weights"]
    if weights == "imagenet":
        load_imagenet(network, backbone, folder / "weights.pth")
    elif weights != "none":
        load_project_weights(network, folder / "weights.safetensors", weights)
    elif not has_normalization(network.features):
        initialize_lsuv(network.features, prepare(torch.from_numpy(images), size))
    return network


def hash_inputs(backbone: str, tables: Tables = DEFAULT_TABLES) -> dict[str, str]:
    """Return the SHA-256 of every file that the result depends on."""
    paths = [
        CACHE / ARRAY,
        CACHE / INDEX,
        tables.labels,
        tables.split,
        *sorted((PRETRAINED / backbone).iterdir()),
    ]
    return {path.as_posix(): sha256(path) for path in paths}
