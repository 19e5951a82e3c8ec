"""The figures from the tables of the stage eda, on a few records and a cache of noise."""

import contextlib
import json
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr14.datasets import statistics
from cxr14.datasets.records import read_source
from cxr14.figures import eda, style
from cxr14.io import read_json
from cxr14.labels import CLASSES, LABEL_COLUMNS
from stages import eda as stage

NAMES = ("label_distribution", "sex", "sex_by_finding", "age", "age_by_finding")
SAMPLES = ("sample_single", "sample_multi")


def few_records() -> pd.DataFrame:
    """Sixteen train-val images: 13 of one label (no Hernia), 3 of two; and two of test."""
    texts = [name for name in CLASSES if name not in ("Hernia", "Edema")]
    texts += ["Mass|Nodule"] * 2 + ["Edema|Mass", "Mass", "Hernia"]
    n = len(texts)
    frame = pd.DataFrame(
        {
            "image": [f"{i:08d}_000.png" for i in range(n)],
            "patient": range(n),
            "age": [20 + 3 * i for i in range(n)],
            "sex": ["FM"[i % 2] for i in range(n)],
            "view": "PA",
        }
    )
    for name, column in zip(CLASSES, LABEL_COLUMNS, strict=True):
        frame[column] = np.array([name in text.split("|") for text in texts], np.uint8)
    return frame


def explore_and_draw() -> None:
    stage.main()
    numbers = read_json("metrics/eda.json", "train_val")["train_val"]
    eda.write_figures("plots/eda", numbers, read_source())


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the inputs of the stage and, written by one run, its outputs."""
    folder = tmp_path_factory.mktemp("eda")
    for name in ("records", "split", "cache"):
        (folder / "data" / name).mkdir(parents=True)
    images = few_records()
    split = images[["image", "patient"]].assign(split=["train", "val"] * 8 + ["test"] * 2)
    images.to_parquet(folder / "data/records/images.parquet")
    split.to_parquet(folder / "data/split/split.parquet")
    source = {"source": "phantom", "phantom": True, "official_split": False}
    (folder / "data/records/source.json").write_text(json.dumps(source))
    noise = np.random.default_rng(1).integers(0, 256, (len(images), 224, 224), np.uint8)
    np.save(folder / "data/cache/images.npy", noise)
    index = images[["image"]].assign(row=range(len(images)))
    index.to_parquet(folder / "data/cache/index.parquet")
    with contextlib.chdir(folder):
        explore_and_draw()
    return folder


def test_the_stage_writes_every_figure_with_its_numbers_and_twice_the_same_bytes(
    workspace: Path,
) -> None:
    written = sorted((workspace / "plots/eda").iterdir())
    assert [path.name for path in written] == sorted(
        f"{name}.{kind}" for name in (*NAMES, *SAMPLES) for kind in ("csv", "png")
    )
    outputs = [*written, workspace / "metrics/eda.json"]
    first = [path.read_bytes() for path in outputs]
    with contextlib.chdir(workspace):
        explore_and_draw()
    assert [path.read_bytes() for path in outputs] == first


@pytest.mark.parametrize("name", [*NAMES, *SAMPLES])
def test_a_figure_is_1200_pixels_wide_and_bears_no_date_or_software(
    workspace: Path, name: str
) -> None:
    with Image.open(workspace / f"plots/eda/{name}.png") as image:
        assert image.width == 1200
        assert set(image.info) <= {"dpi"}


def test_the_samples_show_train_val_images_only(workspace: Path) -> None:
    single = pd.read_csv(workspace / "plots/eda/sample_single.csv")
    multi = pd.read_csv(workspace / "plots/eda/sample_multi.csv")
    assert len(single) == 13
    assert "Hernia" not in set(single["findings"])  # it is in test only
    assert multi["findings"].tolist() == ["Mass|Nodule", "Mass|Edema"]


def test_the_metrics_say_phantom_and_count_every_part(workspace: Path) -> None:
    metrics = json.loads((workspace / "metrics/eda.json").read_text())
    assert (metrics["phantom"], metrics["official_split"]) == (1, 0)
    assert metrics["train_val"]["images"] == 16
    assert metrics["parts"]["test"]["images"] == 2


def test_a_figure_ignores_the_readers_own_settings(tmp_path: Path) -> None:
    table = statistics.sex_distribution(few_records())
    style.export(tmp_path / "usual", table, eda.sex)
    with matplotlib.rc_context({"font.size": 30, "text.color": "red", "axes.grid": True}):
        style.export(tmp_path / "own", table, eda.sex)
    assert (tmp_path / "usual.png").read_bytes() == (tmp_path / "own.png").read_bytes()


def test_images_without_a_known_age_are_counted_in_words() -> None:
    images = few_records()
    images["age"] = images["age"].astype("Int32").mask(images["age"] > 60)
    table = statistics.age_distribution(images)
    figure = eda.age(table, statistics.fullest_ten_years(images), 4)
    assert "4 more have no known age" in figure.texts[1].get_text()
    assert figure.axes[0].get_xlim()[1] == 60


def test_figures_of_a_set_without_ages_and_sexes_say_so() -> None:
    """Tables of other sets lack them."""
    images = few_records()
    images["age"] = pd.array([pd.NA] * len(images), dtype="Int32")
    images["sex"] = "unknown"
    figures = [
        eda.age(statistics.age_distribution(images), None, len(images)),
        eda.age_by_finding(statistics.age_by_finding(images)),
        eda.sex(statistics.sex_distribution(images)),
    ]
    titles = [figure.texts[0].get_text() for figure in figures]
    assert titles == ["The age is not known", "The age is not known", "The sex is not known"]


def test_a_sample_without_a_known_age_says_so() -> None:
    images = few_records()
    images["age"] = pd.array([pd.NA] * len(images), dtype="Int32")
    table = statistics.single_label_samples(images)
    pixels = np.zeros((len(table), 224, 224), np.uint8)
    figure = eda.draw(table, pixels, 5, "title", "below")
    assert figure.axes[0].texts[0].get_text().startswith("age unknown · ")


def test_every_bar_bears_its_count() -> None:
    images = few_records()
    figure = eda.label_distribution(statistics.label_distribution(images), len(images))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[0] == "5  (27.8%)"  # Mass: once and again alone, three times with another
    assert len(texts) == len(CLASSES)
