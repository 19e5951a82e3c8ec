"""Inputs of a training run: images, labels, initial weights; and checks before it starts."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from cxr14.config.blocks import ModelParams, Recipe
from cxr14.datasets.records import read_records, read_split
from cxr14.errors import UserError
from cxr14.io import read_json, sha256
from cxr14.labels import CLASSES, MORE_POSITIVES, label_matrix, without_no_finding
from cxr14.metrics.auroc import scorable
from cxr14.models.backbones import check_input_size
from cxr14.models.inference import prepare
from cxr14.models.network import Network, build_network
from cxr14.models.pretrained import (
    has_normalization,
    initialize_lsuv,
    load_imagenet,
    load_weights,
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
"""The labels of the records, and the split: the tables of the stage `train`."""

Images = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
Labels = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Data:
    """Cached images, and the rows and labels of train and val.

    Attributes:
        images: uint8 (N, S, S), mapped from the file.
        train_images: M names.
        train_rows: int64 (M,), rows of `images`.
        train_labels: float32 (M, C), 0, 1 or -1 (unknown).
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
    """Read the rows and labels of train and val; images are mapped, the test split is not read.

    Images without pixels, or skipped by `preprocess`, are not in the cache and are left out.

    Args:
        classes: the columns of the labels.
        tables: labels and split.

    Raises:
        FileNotFoundError: there is no cache.
        UserError: a split has no images in the cache, or the split table has other images.
    """
    images, index = open_cache(CACHE)
    records, split = read_records(tables.labels), read_split(tables.split)
    if unlabelled := [name for name in classes if (label_matrix(records, [name]) < 0).all()]:
        raise UserError(
            f"data.findings names {', '.join(unlabelled)}, which no image of {tables.labels} has a "
            f"known label for; take it out of data.findings in params.yaml"
        )
    if split.image.tolist() != records.image.tolist():
        raise UserError(
            f"{tables.split} does not list the images of {tables.labels} in their "
            f"order; rebuild both with `dvc repro --force patient-split`"
        )
    records["split"] = split.split.to_numpy()
    cached = records[records.image.isin(index.image)]
    splits: list[tuple[list[str], Rows, Labels]] = []
    for name in ("train", "val"):
        table = cached[cached.split == name]
        if table.empty:
            raise UserError(f"no image of the {name} split is in {CACHE} (metrics/preprocess.json)")
        rows, labels = rows_of(index, table.image), label_matrix(table, classes)
        splits.append((table.image.tolist(), rows, labels))
    (train_images, train_rows, train_labels), (_, val_rows, val_labels) = splits
    return Data(images, train_images, train_rows, train_labels, val_rows, val_labels, classes)


def check_fits(recipe: Recipe, data: Data) -> None:
    """Check input size and batch size against the data.

    Raises:
        UserError: the cache is smaller than the input, or the train split smaller than a batch or
            than the batches of a step.
    """
    cached, count = data.images.shape[1], len(data.train_labels)
    if recipe.input_size > cached:
        raise UserError(
            f"train.input_size is {recipe.input_size}, but the cache holds {cached} px; raise "
            f"preprocess.size or lower train.input_size"
        )
    if recipe.batch_size > count:
        raise UserError(
            f"train.batch_size is {recipe.batch_size}, but the train split has {count} images; "
            f"lower it"
        )
    if recipe.accumulate > count // recipe.batch_size:
        raise UserError(
            f"train.accumulate is {recipe.accumulate}, but an epoch has "
            f"{count // recipe.batch_size} batches (train.batch_size {recipe.batch_size}, {count} "
            f"images); lower it"
        )


def check_trainable(labels: Labels, classes: Sequence[str] = CLASSES) -> list[str]:
    """Return the findings that lack positives or negatives in train (N, C).

    Raises:
        UserError: no finding is trainable.
    """
    has_both = dict(zip(classes, map(scorable, labels.T), strict=True))
    findings = without_no_finding(classes)
    lacking = [name for name in findings if not has_both[name]]
    if lacking == findings:
        raise UserError("no finding has both positives and negatives in the train split")
    return lacking


def check_scorable(labels: Labels, untrainable: Sequence[str], classes: Sequence[str]) -> None:
    """Check that the val split can select the best epoch.

    Args:
        labels: of val, (K, C).
        untrainable: findings without positives or without negatives in train.
        classes: C names of the columns.

    Raises:
        UserError: no trainable finding has both positives and negatives in val.
    """
    has_both = dict(zip(classes, map(scorable, labels.T), strict=True))
    trainable = [name for name in without_no_finding(classes) if name not in untrainable]
    if not any(has_both[name] for name in trainable):
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
    """Return a few images spread over the train split, uint8 (START_IMAGES, S, S)."""
    indices = np.linspace(0, len(data.train_rows) - 1, START_IMAGES).astype(np.int64)
    return np.asarray(data.images[data.train_rows[indices]])


def initial_network(
    backbone: str,
    model: ModelParams,
    images: Images,
    recipe: Recipe,
    classes: Sequence[str] = CLASSES,
) -> Network:
    """Build the network, with the initial weights that the stage `pretrained` wrote.

    Args:
        backbone: name of the backbone.
        model: the head.
        images: uint8 (B, S, S), of the train split; for the data-dependent initialization (LSUV)
            of a network without normalisation layers and without pretrained weights.
        recipe: its seed and input size are used, and what it freezes.
        classes: C names of the outputs.
    """
    folder, published = PRETRAINED / backbone, published_weights(backbone)
    name = published["name"] if published else None
    network = build_network(backbone, **model.head, seed=recipe.seed, classes=classes, weights=name)
    check_input_size(network.features, backbone, recipe.input_size)
    weights = read_json(folder / "source.json", "weights")["weights"]
    if weights == "imagenet":
        load_imagenet(network, backbone, next(folder.glob("weights.*"), folder / "weights.pth"))
    elif weights != "none":
        load_weights(network, folder / "weights.safetensors", weights, name)
    elif not has_normalization(network.features):
        initialize_lsuv(network.features, prepare(torch.from_numpy(images), recipe.input_size))
    network.freeze(recipe.freeze)
    return network


def published_weights(backbone: str) -> dict[str, str] | None:
    """Return the facts on published initial weights; None if a training starts from others."""
    facts = read_json(PRETRAINED / backbone / "source.json", "weights").get("initial_weights")
    return dict(facts) if facts else None


def hash_inputs(backbone: str, tables: Tables = DEFAULT_TABLES) -> dict[str, str]:
    """Return the SHA-256 of every input file, by path."""
    paths = [
        CACHE / ARRAY,
        CACHE / INDEX,
        tables.labels,
        tables.split,
        *sorted((PRETRAINED / backbone).iterdir()),
    ]
    return {path.as_posix(): sha256(path) for path in paths}
