"""Reasons against an image, and how often they are given."""

from dataclasses import replace

import numpy as np
import pytest

from cxr14.serving.input_check import InputCheck
from cxr14.serving.negatives import make_negatives
from cxr14.serving.refusals import as_shrunk, rates, refusals, refused

PIXELS = np.random.default_rng(2).integers(0, 256, (64, 64), np.uint8)
FILM = replace(as_shrunk(PIXELS), source_width=2000, source_height=2400, remarks=())


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"remarks": ("faint",)}, "blank: hardly any contrast"),
        ({"remarks": ("inverted",)}, "looks like a negative: lungs bright, bones dark"),
    ],
)
def test_each_fault_is_a_reason(facts: dict[str, object], reason: str) -> None:
    assert refusals(replace(FILM, **facts), 0.5) == [reason]


@pytest.mark.parametrize("distance", [0.2, 1.0, float("nan")])
def test_there_is_no_reason_against_a_film_up_to_the_limit(distance: float) -> None:
    kept = replace(FILM, remarks=("jpeg", "padded", "colour"))
    assert refusals(kept, distance) == []


def test_all_reasons_are_given_those_of_the_file_first() -> None:
    reasons = refusals(replace(FILM, remarks=("inverted",)), 1.234, ("a lateral view",))
    assert reasons[0] == "a lateral view"
    assert reasons[2] == "unlike the images of train: at 1.23 times the limit"


def test_a_cache_of_small_images_is_not_refused_for_its_size() -> None:
    images = np.random.default_rng(6).integers(0, 256, (20, 32, 32), np.uint8)
    check = InputCheck.fit(images, np.arange(20), np.arange(20))
    wide = replace(check, limits=np.full_like(check.limits, 1e6))
    assert not refused(wide, images).any()


def test_rates_count_false_refusals_and_what_is_detected() -> None:
    rng = np.random.default_rng(5)
    base = np.kron(rng.integers(0, 256, (8, 8)), np.ones((8, 8)))
    images = (base + rng.normal(0, 20, (120, 64, 64))).clip(0, 255).astype(np.uint8)
    rows = {"val": np.arange(60, 90), "test": np.arange(90, 120)}
    check = InputCheck.fit(images, np.arange(60), rows["val"], refused=0.1)
    found = rates(check, images, rows, make_negatives(images, rows["test"]))
    assert found["false_refusals"]["val"]["refused"] == 3
    assert found["false_refusals"]["val"]["images"] == 30
    detected = found["detected"]
    assert set(detected) >= {"inverted", "rotated_90", "blank", "noise", "ct_slices"}
    assert detected["inverted"] == {
        "images": 30, "refused": 30, "share": 1.0, "high": 1.0,
        "low": pytest.approx(0.8843, abs=1e-4),
    }  # fmt: skip
