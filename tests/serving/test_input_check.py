"""The input check: fitted on train, its limit chosen on validation."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cxr14.errors import UserError
from cxr14.serving.input_check import InputCheck

TRAIN, VALIDATION, TEST = np.arange(200), np.arange(200, 300), np.arange(300, 400)


def chests(count: int, size: int) -> np.ndarray:
    """Bright bodies with two dark lungs, all a little different: uint8 (N, S, S)."""
    rng = np.random.default_rng(4)
    down, across = np.mgrid[:size, :size] / size
    images = []
    for shift in rng.normal(0, 0.02, (count, 4)):
        lungs = [
            np.exp(-(((across - x - shift[0]) / 0.1) ** 2 + ((down - 0.45 - dy) / 0.2) ** 2))
            for x, dy in ((0.3, shift[1]), (0.7, shift[2]))
        ]
        images.append(200 + 600 * shift[3] - 140 * (lungs[0] + lungs[1]))
    noisy = np.stack(images) + gaussian_filter(rng.normal(0, 40, (count, size, size)), (0, 3, 3))
    return noisy.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return chests(400, 64)


@pytest.fixture(scope="module")
def check(images: np.ndarray) -> InputCheck:
    return InputCheck.fit(images, TRAIN, VALIDATION, refused=0.05)


def test_the_wanted_share_of_validation_is_beyond_the_limit_and_about_as_many_of_test(
    check: InputCheck, images: np.ndarray
) -> None:
    beyond = check.distance(images) > 1
    assert beyond[VALIDATION].mean() == 0.05
    assert beyond[TEST].mean() < 0.12


@pytest.mark.parametrize(
    "alter",
    [
        lambda images: 255 - images,
        lambda images: np.rot90(images, 1, (1, 2)),
        lambda images: np.full_like(images, 128),
        lambda images: np.random.default_rng(0).integers(0, 256, images.shape, np.uint8),
    ],
    ids=["negatives", "turned", "blank", "noise"],
)
def test_other_images_are_beyond_the_limit(
    check: InputCheck, images: np.ndarray, alter: Callable[[np.ndarray], np.ndarray]
) -> None:
    assert (check.distance(alter(images[TEST])) > 1).all()


def test_the_distance_does_not_depend_on_the_size_of_the_image(
    check: InputCheck, images: np.ndarray
) -> None:
    large = images[TEST].repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(check.distance(large), check.distance(images[TEST]), rtol=1e-5)


def test_nothing_is_measured_of_no_image(check: InputCheck, images: np.ndarray) -> None:
    assert check.distance(images[:0]).shape == (0,)


def test_equal_images_give_equal_bytes_that_are_read_back(
    check: InputCheck, images: np.ndarray, tmp_path: Path
) -> None:
    again = InputCheck.fit(images, TRAIN, VALIDATION, refused=0.05)
    for name, fitted in (("first", check), ("second", again)):
        fitted.save(tmp_path / f"{name}.npz")
    first, second = (tmp_path / f"{name}.npz" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    read = InputCheck.load(first)
    np.testing.assert_array_equal(read.distance(images), check.distance(images))


def test_images_of_train_are_needed(images: np.ndarray) -> None:
    with pytest.raises(UserError, match="needs images of train"):
        InputCheck.fit(images, TRAIN[:0], VALIDATION)


@pytest.mark.parametrize(("train", "validation"), [(1, 0), (1, 1), (5, 0), (12, 3)])
def test_a_few_images_are_enough_even_if_they_are_equal(
    images: np.ndarray, train: int, validation: int
) -> None:
    for few in (images, images[:1].repeat(20, axis=0)):
        fitted = InputCheck.fit(few, np.arange(train), np.arange(train, train + validation))
        assert np.isfinite(fitted.distance(images)).all()
        assert (fitted.distance(255 - images) > 1).all()


def test_a_damaged_file_is_named(check: InputCheck, tmp_path: Path) -> None:
    path = tmp_path / "input_check.npz"
    path.write_bytes(b"PK\3\4 nothing")
    with pytest.raises(UserError, match=f"{path} is damaged"):
        InputCheck.load(path)
    replace(check, limits=check.limits[:1]).save(path)
    with pytest.raises(UserError, match=f"{path} is damaged: its arrays are"):
        InputCheck.load(path)


def test_of_real_radiographs_few_are_refused_and_their_negatives_all(nih: Path) -> None:
    from cxr14.preprocessing.decode import shrink

    files = sorted((nih / "images").glob("*.png"))[:120]
    real = np.stack([shrink(file.read_bytes(), 64, file.name).pixels for file in files])
    fitted = InputCheck.fit(real, np.arange(60), np.arange(60, 90))
    assert (fitted.distance(real[90:]) > 1).mean() <= 0.2
    assert (fitted.distance(255 - real[90:]) > 1).all()
