"""The files that relabelling leaves beside the labels."""

import numpy as np
import pandas as pd
import pytest

from cxr14.chexnext.folds import NO_FOLD
from cxr14.chexnext.label_changes import write_label_changes
from cxr14.chexnext.paths import align_to_cache
from cxr14.chexnext.relabel import relabel
from cxr14.datasets.records import write_source
from cxr14.io import read_json, write_npy, write_parquet
from cxr14.labels import CLASSES, label_matrix
from stages.chexnext.report import draw_relabelling
from tests.chexnext.tables import PHANTOM, records, splits

COUNT = 200


@pytest.fixture
def reported(tmp_path, monkeypatch):
    """The metrics of a project whose member is sure of Mass: its logit is 40 in train."""
    monkeypatch.chdir(tmp_path)
    table = records(COUNT)
    split = pd.DataFrame({"image": table["image"], "split": splits(COUNT)})
    write_source(PHANTOM)
    write_parquet("data/records/images.parquet", table)
    write_npy("data/cache/images.npy", np.zeros((COUNT, 8, 8), np.uint8))
    write_parquet("data/cache/index.parquet", table[["image"]].assign(row=np.arange(COUNT)))
    cached = align_to_cache("data/cache", table, split)
    logits = np.random.default_rng(0).normal(size=(COUNT, len(CLASSES))).astype(np.float32)
    logits[:100, CLASSES.index("Mass")] = 40
    labels = label_matrix(cached.images, CLASSES)
    folds = np.where(cached.within("train"), 0, NO_FOLD)
    relabelled = relabel({"a": logits}, {"a": 0}, 1, folds, cached.within("val"), labels, CLASSES)
    after = table.copy()
    after.loc[:99, "Mass"] = np.uint8(1)
    write_label_changes(cached, after, relabelled, CLASSES, PHANTOM)
    draw_relabelling(PHANTOM)
    return tmp_path / "chexnext/metrics"


def test_a_certain_network_is_reported_too(reported) -> None:
    """A mean probability of exactly 1 (logit 40) ended the stage, after the labels were written."""
    assert read_json(reported / "relabel.json")["added"] > 0
    assert (reported.parent / "plots/relabel.png").stat().st_size > 10_000


def test_every_table_says_that_it_is_of_phantoms(reported) -> None:
    """Tables of figures went out without the column that all other stages' tables have."""
    tables = [reported / f"relabel/{n}.csv" for n in ("label_changes", "thresholds", "adjudicated")]
    for path in (*tables, reported.parent / "plots/relabel.csv"):
        table = pd.read_csv(path)
        assert len(table) > 0, path
        assert set(table["phantom"]) == {1}, path
