"""Networks of benchmarks/chexnext.py: trained once, with logits of all images on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.chexnext.folds import cut_folds, split_without
from cxr14.chexnext.label_noise import add_noise
from cxr14.chexnext.paths import CachedImages, align_to_cache
from cxr14.chexnext.relabel import check_only_train_val, relabel, relabelled_records
from cxr14.config.blocks import Recipe, read_model
from cxr14.config.chexnext import read_chexnext_loss, read_noise, read_recipe
from cxr14.evaluation.predict import predict_logits
from cxr14.evaluation.predictions import Logits
from cxr14.io import write_npy, write_parquet
from cxr14.labels import CLASSES, FINDINGS, label_matrix
from cxr14.models.serialization import load_model
from cxr14.preprocessing.cache import open_cache
from cxr14.training.inputs import DEFAULT_TABLES, Tables
from cxr14.training.train import Job, run_job

MODES = ("union", "replace")


@dataclass(frozen=True)
class Workshop:
    """Settings of the trainings.

    Attributes:
        folder: of all outputs; existing ones are reused.
        backbone: of all networks.
        networks: number of networks per average, and of folds.
        epochs: of each training; None for those of chexnext/params.yaml.
    """

    folder: Path
    backbone: str
    networks: int
    epochs: int | None

    def logits(self, name: str, seed: int, tables: Tables) -> Logits:
        """Return the logits of a network for all cached images, (N, 15); train it if needed."""
        kept = self.folder / "logits" / f"{name}-{seed}.npy"
        if not kept.exists():
            recipe, title = self._recipe(seed), f"{name}-{seed}"
            job = Job(
                self.backbone,
                read_model(),
                read_chexnext_loss(),
                recipe,
                self.folder / "models" / title,
                name=title,
                title=title,
                tables=tables,
                results=self.folder,
            )
            run_job(job, lambda *args, **facts: None, seconds=60)
            network, _ = load_model(job.folder)
            images, _ = open_cache()
            rows = np.arange(len(images))
            write_npy(kept, predict_logits(network, images, rows, recipe.input_size, 64))
        return np.load(kept)

    def all_logits(self, name: str, tables: Sequence[Tables]) -> list[Logits]:
        """Return the logits of one network per pair of tables, with seeds 0, 1, 2 …."""
        return [self.logits(name, seed, table) for seed, table in enumerate(tables)]

    def same(self, labels: Path) -> list[Tables]:
        """Return equal tables for all networks: the labels and the whole train split."""
        return [Tables(labels, DEFAULT_TABLES.split)] * self.networks

    def _recipe(self, seed: int) -> Recipe:
        changes = {"epochs": self.epochs} if self.epochs else {}
        return read_recipe(self.backbone, seed).model_copy(update=changes)


def arms(
    workshop: Workshop, noise_seed: int, modes: Sequence[str] = MODES
) -> dict[str, list[Logits]]:
    """Train all arms for one seed of the label noise.

    Args:
        workshop: settings of the trainings.
        noise_seed: seed of the label noise.
        modes: of MODES; how the members' predictions change the labels.

    Returns:
        By arm the logits (N, 15) of its networks, in the order of the cache.
    """
    wrong, folds, splits = prepare(workshop, noise_seed)
    plain = workshop.all_logits("plain", workshop.same(wrong))
    crossed = workshop.all_logits("crossed", [Tables(wrong, split) for split in splits])
    logits = {"true labels": workshop.all_logits("true", workshop.same(DEFAULT_TABLES.labels))}
    logits |= {"single": plain[:1], "ensemble": plain}
    for kind, members, count in (("cross-fitted", crossed, workshop.networks), ("plain", plain, 1)):
        for mode in modes:
            labels = workshop.folder / f"{kind}-{mode}.parquet"
            write_parquet(labels, relabelled(wrong, members, folds, count, mode))
            name = f"student-{kind}-{mode}"
            logits[f"chexnext, {kind}, {mode}"] = workshop.all_logits(name, workshop.same(labels))
    return logits


def prepare(workshop: Workshop, seed: int) -> tuple[Path, npt.NDArray[np.int64], list[Path]]:
    """Write wrong labels and a split without each fold; return their paths, and the folds (N,)."""
    true, split = pd.read_parquet(DEFAULT_TABLES.labels), pd.read_parquet(DEFAULT_TABLES.split)
    splits_with_pixels = np.where(true["has_pixels"], split["split"], "no pixels")
    params, wrong = read_noise(), workshop.folder / "wrong.parquet"
    rates = {name: (params.of(name).missed, params.of(name).wrong) for name in FINDINGS}
    write_parquet(wrong, add_noise(true, splits_with_pixels, rates, seed))
    folds = cut_folds(true, split["split"].to_numpy(str), workshop.networks, seed)
    splits = [workshop.folder / f"fold{fold}.parquet" for fold in range(workshop.networks)]
    for fold, path in enumerate(splits):
        write_parquet(path, split_without(split, folds, fold))
    return wrong, folds, splits


def relabelled(
    labels: Path, members: list[Logits], folds: npt.NDArray[np.int64], count: int, mode: str
) -> pd.DataFrame:
    """Return the records with train relabelled by the members, as the stage `relabel` does it."""
    records, split = pd.read_parquet(labels), pd.read_parquet(DEFAULT_TABLES.split)
    cached = align_to_cache("data/cache", records, split)
    train, val = cached.within("train"), cached.within("val")
    fold_of = {str(n): n % count for n in range(len(members))}
    fold_of_image = np.where(train, folds[cached.rows] if count > 1 else 0, -1)
    logits = dict(zip(fold_of, members, strict=True))
    matrix = label_matrix(cached.images)
    relabelling = relabel(logits, fold_of, count, fold_of_image, val, matrix, CLASSES)
    new = relabelled_records(records, cached.rows[train], relabelling.present[train], CLASSES, mode)
    check_only_train_val(records, new, split["split"].to_numpy(str))
    return new


def truth() -> tuple[CachedImages, npt.NDArray[np.bool_]]:
    """Return the true records in the order of the cache, and which of them are test."""
    cached = align_to_cache(
        "data/cache", pd.read_parquet(DEFAULT_TABLES.labels), pd.read_parquet(DEFAULT_TABLES.split)
    )
    return cached, cached.within("test")
