"""What a training run reads."""

import numpy as np
import pandas as pd
import pytest
import torch

from cxr14.config.blocks import ModelParams
from cxr14.io import write_json, write_npy, write_parquet
from cxr14.labels import CLASSES, LABEL_COLUMNS, NO_FINDING
from cxr14.models.inference import prepare
from cxr14.models.network import build_network
from cxr14.models.serialization import WEIGHTS, save_model
from cxr14.preprocessing.cache import ARRAY, INDEX
from cxr14.training.inputs import (
    CACHE,
    PRETRAINED,
    RECORDS,
    SPLIT,
    Data,
    check_fits,
    check_scorable,
    check_trainable,
    hash_inputs,
    initial_network,
    read_data,
    warn_of_untrainable,
)
from tests.training.tiny import RECIPE, replace

PARTS = ["train", "val", "test", "train", "val", "test", "train"]
NAMES = [f"{letter}.png" for letter in "abcdefg"]
HEAD = {"transition_channels": 8, "pooling": "avg", "lse_r": 10.0, "output_stride": 32}
MODEL = ModelParams(weights="none", **HEAD)


def write_records(parts=PARTS, has_pixels=(True,) * 6 + (False,)):
    """Image n has the n-th finding; the last of them has no pixels."""
    records = pd.DataFrame(np.eye(7, 15, dtype=np.uint8), columns=list(LABEL_COLUMNS))
    records.insert(0, "image", NAMES)
    write_parquet(RECORDS / "images.parquet", records.assign(has_pixels=has_pixels))
    split = pd.DataFrame({"image": NAMES, "patient": range(7), "split": parts})
    write_parquet(SPLIT / "split.parquet", split)


def write_cache(names):
    """Every picture is filled with the place of its name in the alphabet."""
    grey = [NAMES.index(name) for name in names]
    write_npy(CACHE / ARRAY, np.broadcast_to(np.uint8(grey)[:, None, None], (len(grey), 4, 4)))
    write_parquet(CACHE / INDEX, pd.DataFrame({"row": range(len(names)), "image": names}))


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A project whose cache is in another order than its table."""
    monkeypatch.chdir(tmp_path)
    write_records()
    write_cache(NAMES[5::-1])
    write_json(PRETRAINED / "googlenet" / "source.json", {"weights": "none"})


def test_images_and_labels_of_train_and_val_belong_together():
    data = read_data()
    assert isinstance(data.images, np.memmap)
    assert data.images.dtype == np.uint8
    assert data.images[data.train_rows, 0, 0].tolist() == [0, 3]
    assert data.train_labels.argmax(axis=1).tolist() == [0, 3]
    assert data.images[data.val_rows, 0, 0].tolist() == [1, 4]
    assert data.val_labels.argmax(axis=1).tolist() == [1, 4]
    assert data.train_labels.shape == (2, 15)
    assert data.train_images == ["a.png", "d.png"]


def test_the_test_part_is_not_read():
    """Its pictures may even be gone from the cache."""
    expected = read_data()
    write_cache(["e.png", "b.png", "d.png", "a.png"])
    found = read_data()
    assert (found.train_labels == expected.train_labels).all()
    assert (found.val_labels == expected.val_labels).all()
    assert (found.images[found.train_rows] == expected.images[expected.train_rows]).all()
    assert (found.images[found.val_rows] == expected.images[expected.val_rows]).all()


def test_an_image_that_preprocess_left_out_is_not_seen():
    """A damaged file has pixels by the table, and none in the cache; it used to stop training."""
    write_cache(["e.png", "c.png", "d.png", "b.png"])
    data = read_data()
    assert data.images[data.train_rows, 0, 0].tolist() == [3]
    assert data.train_labels.argmax(axis=1).tolist() == [3]
    assert len(data.val_rows) == 2


def test_a_split_of_another_table_is_refused():
    """Rows of the two files used to be joined by their number alone."""
    split = pd.read_parquet(SPLIT / "split.parquet")
    write_parquet(SPLIT / "split.parquet", split[::-1])
    with pytest.raises(ValueError, match=r"split\.parquet does not list the images of"):
        read_data()


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_part_without_images_in_the_cache_is_refused(part):
    cached = [name for name, own in zip(NAMES[:6], PARTS, strict=False) if own != part]
    write_cache(cached)
    with pytest.raises(ValueError, match=f"no image of the {part} split is in data/cache"):
        read_data()


FITTING = replace(RECIPE, input_size=4, batch_size=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_size": 5}, r"train\.input_size is 5, but the cache holds 4 px; raise"),
        ({"batch_size": 3}, r"train\.batch_size is 3, but the train split has 2 images; lower it"),
        (
            {"batch_size": 1, "accumulate": 3},
            r"train\.accumulate is 3, but an epoch has 2 batches \(train\.batch_size 1, 2 images\)",
        ),
    ],
)
def test_what_the_data_do_not_allow_is_refused(changes, message):
    check_fits(FITTING, read_data())
    with pytest.raises(ValueError, match=message):
        check_fits(replace(FITTING, **changes), read_data())


@pytest.mark.parametrize("val", [0, 1])
def test_a_val_part_that_scores_no_trainable_finding_is_refused(val):
    """It was noticed after the first epoch."""
    labels = np.full((6, len(CLASSES)), val, np.float32)
    told = (
        r"no trainable finding \(Atelectasis, .*\) has both .* among the 6 images of val.*val_frac"
    )
    with pytest.raises(ValueError, match=told):
        check_scorable(labels, [], CLASSES)
    labels[:3, 2] = 1 - val  # Effusion alone can be scored
    check_scorable(labels, [], CLASSES)
    with pytest.raises(ValueError, match="no trainable finding"):
        check_scorable(labels, ["Effusion"], CLASSES)
    labels[:3, CLASSES.index(NO_FINDING)] = 1 - val  # whose AUROC chooses no epoch
    with pytest.raises(ValueError, match="no trainable finding"):
        check_scorable(labels, ["Effusion"], CLASSES)


def test_findings_without_both_labels_are_warned_of_and_named():
    labels = np.float32(np.random.default_rng(1).random((50, 15)) < 0.5)
    assert check_trainable(labels) == []
    labels[:, 2], labels[:, 13] = 0, 1
    assert check_trainable(labels) == ["Effusion", "Hernia"]
    with pytest.warns(
        UserWarning, match="no positive or no negative image to train on: Effusion, Hernia"
    ):
        warn_of_untrainable(["Effusion", "Hernia"])
    warn_of_untrainable([])


def test_training_is_refused_if_no_finding_can_be_learned():
    labels = np.zeros((4, 15), np.float32)
    labels[:2, 14] = 1  # No Finding alone is not enough
    with pytest.raises(ValueError, match="no finding has both positives and negatives"):
        check_trainable(labels)


def same(first, second) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


SEEN = np.random.default_rng(3).integers(0, 255, (64, 64, 64), dtype=np.uint8)


def test_training_starts_from_the_seed_where_no_weights_are_wanted():
    start = initial_network("googlenet", MODEL, SEEN, replace(RECIPE, seed=7, input_size=32))
    assert same(start, build_network("googlenet", **HEAD, seed=7))


def test_a_network_without_normalisation_starts_balanced_on_its_train_part():
    (PRETRAINED / "alexnet").mkdir(parents=True)
    write_json(PRETRAINED / "alexnet" / "source.json", {"weights": "none"})
    start = initial_network("alexnet", MODEL, SEEN, replace(RECIPE, seed=7, input_size=64))
    assert not same(start, build_network("alexnet", **HEAD, seed=7))
    assert same(
        start, initial_network("alexnet", MODEL, SEEN, replace(RECIPE, seed=7, input_size=64))
    )
    with torch.no_grad():
        first = start.features[0](prepare(torch.from_numpy(SEEN), 64))
    assert first.mean().abs() < 0.1
    assert abs(float(first.std()) - 1) < 0.1


def test_training_starts_from_own_weights_where_they_are_wanted(tmp_path):
    own = build_network("googlenet", **HEAD, seed=8)
    save_model("models/googlenet", own, {})
    folder = PRETRAINED / "googlenet"
    (tmp_path / "models" / "googlenet" / WEIGHTS).rename(folder / WEIGHTS)
    write_json(folder / "source.json", {"weights": "models/mine.safetensors"})
    assert same(
        initial_network("googlenet", MODEL, SEEN, replace(RECIPE, seed=7, input_size=32)), own
    )


def test_the_hash_of_every_input_changes_with_it():
    before = hash_inputs("googlenet")
    assert set(before) == {
        "data/cache/images.npy",
        "data/cache/index.parquet",
        "data/records/images.parquet",
        "data/split/split.parquet",
        "data/pretrained/googlenet/source.json",
    }
    assert hash_inputs("googlenet") == before
    write_cache(NAMES[:6])
    after = hash_inputs("googlenet")
    assert {name for name in before if before[name] != after[name]} == {
        "data/cache/images.npy",
        "data/cache/index.parquet",
    }


def test_data_is_the_two_parts_that_training_sees():
    assert set(Data.__dataclass_fields__) == {
        "images",
        "train_images",
        "train_rows",
        "train_labels",
        "val_rows",
        "val_labels",
        "classes",
    }


def test_labels_are_of_the_named_classes_and_others_are_rows_of_zeros():
    """Image n has the n-th finding: d and a are train, b and e validation."""
    data = read_data(("Cardiomegaly", "Infiltration"))
    assert data.classes == ("Cardiomegaly", "Infiltration")
    assert data.train_labels.tolist() == [[0, 0], [0, 1]]
    assert data.val_labels.tolist() == [[1, 0], [0, 0]]


def test_of_few_classes_only_their_findings_have_to_be_trainable():
    labels = np.array([[0, 1], [1, 0]], np.float32)
    assert check_trainable(labels, ("Mass", "No Finding")) == []
    labels[:, 0] = 0
    with pytest.raises(ValueError, match="no finding has both positives and negatives"):
        check_trainable(labels, ("Mass", "No Finding"))
