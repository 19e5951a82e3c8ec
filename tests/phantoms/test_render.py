"""Drawing a phantom: exposure, findings, the same picture again."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cxr14.labels import FINDINGS
from cxr14.phantoms.anatomy import Anatomy
from cxr14.phantoms.opacities import OPACITIES
from cxr14.phantoms.render import render

RESHAPING = ("Cardiomegaly", "Emphysema", "Atelectasis", "Fibrosis")


def row(patient: int = 1, follow_up: int = 0, *findings: str, **other: Any) -> dict[str, Any]:
    facts = {
        "image": f"{patient:08d}_{follow_up:03d}.png",
        "patient": patient,
        "follow_up": follow_up,
        "age": 50,
        "sex": "M",
        "view": "PA",
    }
    return facts | {finding: int(finding in findings) for finding in FINDINGS} | other


def correlation(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    return float(np.corrcoef(one[::8, ::8].ravel(), other[::8, ::8].ravel())[0, 1])


def test_a_phantom_is_a_grey_picture_of_1024_px_that_uses_most_of_the_range(anatomy: Anatomy):
    picture = render(row(), [], anatomy, 1.0, 14)
    assert picture.shape == (1024, 1024)
    assert picture.dtype == np.uint8
    low, high = np.percentile(picture, (1, 99))
    assert low < 60
    assert high > 180


def test_the_lungs_are_darker_than_spine_and_abdomen(anatomy: Anatomy):
    picture = np.mean([render(row(patient), [], anatomy, 1.0, 14) for patient in range(4)], axis=0)
    spine = picture[300:600, 490:530].mean()
    for lung in (picture[350:500, 250:330], picture[350:450, 720:780]):
        assert lung.mean() < spine - 40
        assert lung.mean() < picture[900:1000, 300:700].mean() - 40


def test_equal_arguments_give_equal_pictures_in_any_order(anatomy: Anatomy):
    wanted = [render(row(patient, 0, "Mass"), [], anatomy, 1.0, 14) for patient in (1, 2)]
    again = [render(row(patient, 0, "Mass"), [], anatomy, 1.0, 14) for patient in (2, 1)][::-1]
    assert all((a == b).all() for a, b in zip(wanted, again, strict=True))
    assert (render(row(1, 0, "Mass"), [], anatomy, 1.0, 15) != wanted[0]).any()


@pytest.mark.parametrize("finding", FINDINGS)
def test_contrast_nought_hides_a_finding_and_more_shows_it(anatomy: Anatomy, finding: str):
    plain = render(row(3), [], anatomy, 1.0, 14)
    hidden = render(row(3, 0, finding), [], anatomy, 0.0, 14)
    assert (hidden == plain).all()
    faint, full = (
        np.abs(render(row(3, 0, finding), [], anatomy, contrast, 14).astype(float) - plain).mean()
        for contrast in (0.5, 1.0)
    )
    assert 0 < faint < full


@pytest.mark.parametrize(
    "finding", sorted((set(OPACITIES) | {"Effusion", "Pneumothorax"}) - set(RESHAPING))
)
def test_a_boxed_finding_changes_pixels_inside_its_box_only(anatomy: Anatomy, finding: str):
    x, y, width, height = box = (230.4, 300.2, 190.0, 260.0)
    plain = render(row(4), [], anatomy, 1.0, 14).astype(int)
    drawn = render(row(4, 0, finding), [(finding, *box)], anatomy, 1.0, 14)
    rows, columns = np.nonzero(np.abs(drawn - plain))
    assert len(rows) > 0.02 * width * height
    assert columns.min() >= x
    assert columns.max() <= x + width
    assert rows.min() >= y
    assert rows.max() <= y + height


def test_an_enlarged_heart_fills_its_box(anatomy: Anatomy):
    record = row(5, 0, "Cardiomegaly")
    wide, slim = (
        render(record, [("Cardiomegaly", x, 400.0, width, 370.0)], anatomy, 1.0, 14).astype(int)
        for x, width in ((300.0, 520.0), (400.0, 320.0))
    )
    flank = (wide - slim)[620:720, 740:800]  # beside the slim heart, inside the wide one
    assert flank.mean() > 10


@pytest.mark.parametrize(
    "place", [(-50.0, -40.0, 90.0, 80.0), (1000.0, 990.0, 300.0, 300.0), (500.0, 500.0, 3.0, 3.0)]
)
def test_a_box_over_the_edge_or_without_room_is_drawn_as_far_as_it_goes(
    anatomy: Anatomy, place: tuple[float, float, float, float]
):
    picture = render(row(6, 0, "Nodule"), [("Nodule", *place)], anatomy, 1.0, 14)
    assert picture.shape == (1024, 1024)


def test_follow_ups_are_more_alike_than_patients(anatomy: Anatomy):
    first, second = (
        [render(row(patient, visit), [], anatomy, 1.0, 14) for patient in range(6)]
        for visit in (0, 1)
    )
    same = [correlation(a, b) for a, b in zip(first, second, strict=True)]
    others = [correlation(first[i], second[j]) for i in range(6) for j in range(6) if i != j]
    assert np.mean(same) > np.mean(others) + 0.01


def test_women_have_breast_shadows_and_the_old_have_thinner_bones(anatomy: Anatomy):
    man, woman = (render(row(8, sex=sex), [], anatomy, 1.0, 14).astype(int) for sex in "MF")
    old = render(row(8, age=90), [], anatomy, 1.0, 14).astype(int)
    assert (man != woman).any()
    assert old[300:600, 480:540].mean() < man[300:600, 480:540].mean()
