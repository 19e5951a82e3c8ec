"""Labels made wrong at known rates, in train and val only."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr14.chexnext.label_noise import add_noise, count_noise
from cxr14.datasets.records import Source, write_source
from cxr14.io import write_parquet
from cxr14.labels import FINDINGS, NO_FINDING_COLUMN
from stages.chexnext import noisy_labels
from tests.chexnext.tables import NIH, PHANTOM, records, splits

RATES = dict.fromkeys(FINDINGS, (0.5, 0.2))


def noisy(rates=RATES, seed=14):
    return add_noise(records(), splits(), rates, seed)


def test_the_rates_are_met_exactly_in_each_split() -> None:
    counts = count_noise(records(), noisy(), splits())
    assert set(counts["split"]) == {"train", "val"}
    for row in counts.itertuples():
        assert row.missed == round(0.5 * row.positives)
        kept = row.positives - row.missed
        assert row.wrong == round(kept * 0.2 / 0.8)
        assert row.labels == kept + row.wrong


def test_test_and_images_without_pixels_keep_the_truth() -> None:
    own = splits()
    own[:10] = "no pixels"
    changed = add_noise(records(), own, RATES, 14)
    still = ~np.isin(own, ["train", "val"])
    pd.testing.assert_frame_equal(changed[still], records()[still])
    assert not changed[~still].equals(records()[~still])


def test_no_finding_follows_from_the_new_labels() -> None:
    table = noisy()
    positive = (table[list(FINDINGS)] > 0).any(axis=1)
    assert ((table[NO_FINDING_COLUMN] == 1) == ~positive).all()
    assert table.dtypes.equals(records().dtypes)


def test_another_rate_for_one_finding_changes_that_finding_alone() -> None:
    one, other = noisy(), noisy(RATES | {"Mass": (0.1, 0.0)})
    assert (one["Mass"] != other["Mass"]).any()
    rest = [name for name in FINDINGS if name != "Mass"]
    pd.testing.assert_frame_equal(one[rest], other[rest])


def test_the_same_seed_gives_the_same_noise_and_another_does_not() -> None:
    pd.testing.assert_frame_equal(noisy(), noisy())
    assert not noisy().equals(noisy(seed=15))


def test_rates_of_zero_leave_the_truth() -> None:
    pd.testing.assert_frame_equal(noisy(dict.fromkeys(FINDINGS, (0.0, 0.0))), records())


def test_more_wrong_labels_than_there_are_negatives_are_refused() -> None:
    with pytest.raises(ValueError, match=r"noise.rates.Atelectasis.wrong is 0.99.*lower it"):
        noisy(dict.fromkeys(FINDINGS, (0.0, 0.99)))


@pytest.mark.parametrize("source", [PHANTOM, NIH], ids=["phantom", "nih"])
def test_the_table_of_the_noise_says_whether_it_is_of_phantoms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Source
) -> None:
    """On real images nothing is missed or wrong, and the labels are passed on as they are."""
    (tmp_path / "chexnext").mkdir()
    for name in ("params.yaml", "chexnext/params.yaml"):
        shutil.copy(Path(__file__).resolve().parents[2] / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    write_source(source)
    write_parquet("data/records/images.parquet", records())
    split = records()[["image"]].assign(patient=range(len(records())), split=splits())
    write_parquet("data/split/split.parquet", split)
    noisy_labels.main()
    table = pd.read_csv("chexnext/metrics/noise/findings.csv")
    assert set(table["phantom"]) == {int(source.phantom)}
    assert (table["missed"].sum() > 0) == source.phantom
    labels = pd.read_parquet("chexnext/data/labels.parquet")
    assert labels.equals(records()) != source.phantom


def test_a_member_without_starting_weights_is_refused_by_the_first_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without this check DVC fails at the member, with a file that no other error names."""
    (tmp_path / "chexnext").mkdir()
    root = Path(__file__).resolve().parents[2]
    own = (root / "chexnext/params.yaml").read_text()
    (tmp_path / "chexnext/params.yaml").write_text(own.replace("- alexnet", "- resnet18"))
    shutil.copy(root / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match=r"members\.backbones: resnet18 is not in train\.backbones"
    ):
        noisy_labels.main()
