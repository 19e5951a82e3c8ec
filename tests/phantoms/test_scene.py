"""A patient in the frame: habitus, inspiration, rotation, arms, and the positions of the warp."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cxr14.phantoms.anatomy import PAD, Anatomy
from cxr14.phantoms.scene import (
    SIZE,
    Appearance,
    Scene,
    Shape,
    build_scene,
    finding_side,
    patient_traits,
    seeded_rng,
)
from cxr14.phantoms.warp import CELLS, Warp, warp_layers


def row(patient: int = 1, **other: Any) -> dict[str, Any]:
    facts = {"image": f"{patient:08d}_000.png", "patient": patient, "age": 50, "sex": "M"}
    return facts | {"view": "PA"} | other


def scene(anatomy: Anatomy, record: dict[str, Any]) -> Scene:
    shape, appearance = patient_traits(record, 14)
    return build_scene(
        anatomy, shape, appearance, record["view"], seeded_rng(14, "pose", record["image"])
    )


@pytest.fixture
def average() -> tuple[Shape, Appearance]:
    """A patient who is neither turned nor bent."""
    shape = Shape([0.9, 0.9], [0.0, 0.0], 0.0, np.zeros((2, 6, 6)), [0.0, 0.0], [1.0, 1.0])
    return shape, Appearance(1.0, 1.0, 1.0, 1.7, 0.0, 0.0, 1.0, 0.5)


def drawn(anatomy: Anatomy, shape: Shape, appearance: Appearance, view: str = "PA") -> Scene:
    return build_scene(anatomy, shape, appearance, view, seeded_rng(0, "pose"))


def dome_row(lung: npt.NDArray[np.float32], column: int) -> int:
    """Row where the lung along the ray falls most, going down a column."""
    return int(np.diff(lung[SIZE // 4 :, column]).argmin())


def test_equal_arguments_give_equal_scenes(anatomy: Anatomy):
    for record in (row(), row(2, view="AP", sex="F")):
        first, second = scene(anatomy, record), scene(anatomy, record)
        for name in ("base", "heart", "lung_markings", "right_lung", "left_lung"):
            layer = getattr(first, name)
            assert layer.dtype == np.float32
            assert layer.shape == (SIZE, SIZE)
            assert layer.tobytes() == getattr(second, name).tobytes()


def test_both_lungs_lie_inside_the_frame_in_nine_of_ten_images(anatomy: Anatomy):
    inside = []
    for patient in range(60):
        record = row(patient, sex="MF"[patient % 2], view="PA" if patient % 3 else "AP")
        picture = scene(anatomy, record)
        right, left = picture.lung_bounds("right"), picture.lung_bounds("left")
        edges = right[0], left[0], SIZE - right[1], SIZE - left[1], right[3], SIZE - left[3]
        inside.append(min(edges) > 4)
    assert np.mean(inside) >= 0.9


def test_poor_inspiration_raises_both_domes_but_no_rib(anatomy: Anatomy, average):
    shape, appearance = average
    deep = drawn(anatomy, replace(shape, dome_elevation=[-10.0, -10.0]), appearance)
    poor = drawn(anatomy, replace(shape, dome_elevation=[25.0, 25.0]), appearance)
    for side, column in (("right", 160), ("left", 350)):
        assert dome_row(poor.lung(side), column) < dome_row(deep.lung(side), column) - 20
    bones = [drawn(anatomy, shape, replace(appearance, bone=weight)).base for weight in (1.0, 0.0)]
    raised = replace(shape, dome_elevation=[25.0, 25.0])
    moved = [drawn(anatomy, raised, replace(appearance, bone=weight)).base for weight in (1.0, 0.0)]
    np.testing.assert_allclose(bones[0] - bones[1], moved[0] - moved[1], atol=1e-3)


def test_portable_images_are_less_inspired_on_average():
    raised = {
        view: np.mean([patient_traits(row(n, view=view), 14)[0].dome_elevation for n in range(200)])
        for view in ("PA", "AP")
    }
    assert raised["AP"] > raised["PA"] + 8


def test_a_rotated_patient_has_one_wider_lung(anatomy: Anatomy, average):
    shape, appearance = average
    straight, rotated = (
        drawn(anatomy, replace(shape, mediastinal_shift=pixels), appearance)
        for pixels in (0.0, 20.0)
    )
    share = [
        float((picture.right_lung > 30).sum() / (picture.left_lung > 30).sum())
        for picture in (straight, rotated)
    ]
    assert share[1] < share[0] * 0.9


def test_the_shadows_of_breasts_are_women_s_and_denser_than_without(anatomy: Anatomy):
    man, woman = patient_traits(row(3), 14)[1], patient_traits(row(3, sex="F"), 14)[1]
    assert man.breasts == ()
    assert len(woman.breasts) == 2
    shape = patient_traits(row(3, sex="F"), 14)[0]
    with_breasts, without = (
        drawn(anatomy, shape, replace(woman, breasts=breasts)).base
        for breasts in (woman.breasts, ())
    )
    added = with_breasts - without
    assert added.min() > -1e-3
    assert added.max() > 8
    assert added[: SIZE // 5].max() < 1e-3


def test_air_in_the_stomach_lies_below_the_left_dome(anatomy: Anatomy):
    traits = (patient_traits(row(patient), 14) for patient in range(20))
    shape, appearance = next(
        (shape, appearance) for shape, appearance in traits if appearance.bubble
    )
    filled, empty = (
        drawn(anatomy, shape, replace(appearance, bubble=bubble)).base
        for bubble in (appearance.bubble, None)
    )
    rows, columns = np.nonzero(filled < empty - 5)
    assert len(rows) > 100
    assert columns.min() > SIZE // 2
    assert rows.min() > SIZE // 2


def test_only_portable_images_show_hanging_arms(anatomy: Anatomy, average):
    shape, appearance = average
    wide = replace(shape, zoom=[1.1, 1.1])
    arms, none = (drawn(anatomy, wide, appearance, view).base[:, 8:40] for view in ("AP", "PA"))
    low = slice(3 * SIZE // 4, SIZE)  # beside the abdomen
    assert arms[low].mean() > none[low].mean() + 30


def test_heavy_patients_have_thicker_flanks_around_the_same_ribs(anatomy: Anatomy, average):
    shape, appearance = average
    thin, heavy = (
        drawn(anatomy, replace(shape, zoom=[1.2, 1.2], flank=flank), appearance)
        for flank in (-0.4, 0.5)
    )
    assert abs(thin.lung_bounds("left")[3] - heavy.lung_bounds("left")[3]) <= 4
    widths = [int((picture.base[SIZE // 2] > 20).sum()) for picture in (thin, heavy)]
    assert widths[1] > widths[0] + 30


def test_follow_ups_keep_the_habitus_and_vary_in_position():
    shapes = [patient_traits(row(5, image=f"5_{visit}"), 14) for visit in range(4)]
    for name in ("flank", "scoliosis"):
        assert len({getattr(shape, name) for shape, _ in shapes}) == 1
    assert len({shape.mediastinal_shift for shape, _ in shapes}) == 4
    women = [patient_traits(row(5, image=f"5_{visit}", sex="F"), 14)[1] for visit in range(4)]
    assert len({appearance.breasts for appearance in women}) == 1


def test_the_side_of_a_finding_is_the_patients_and_right_in_55_percent():
    sides = [finding_side(row(patient), "Pneumothorax", 14) for patient in range(2000)]
    assert set(sides) == {"right", "left"}
    assert sides.count("right") / 2000 == pytest.approx(0.55, abs=0.03)
    assert finding_side(row(1, image="other"), "Pneumothorax", 14) == sides[1]


def test_a_point_of_the_ct_is_found_where_the_warp_shows_it(anatomy: Anatomy):
    warp = scene(anatomy, row(7)).organ_warp
    cells = warp.cell_centres()
    middles = (np.arange(CELLS) + 0.5) * SIZE / CELLS
    for line, column in ((4, 8), (16, 16), (25, 20)):
        found = warp.to_frame([cells[:, line, column]])[0]
        np.testing.assert_allclose(found, (middles[column], middles[line]), atol=1.0)


def test_a_warp_without_zoom_or_bend_copies_the_layer():
    layer = np.random.default_rng(0).random((SIZE + 2 * PAD, SIZE + 2 * PAD), dtype=np.float32)
    unit = np.eye(2)
    straight = Warp(np.zeros(2), unit[0], unit[1], np.zeros((2, CELLS, CELLS)))
    copied = warp_layers([layer], straight)[0]
    np.testing.assert_allclose(copied, layer[PAD : PAD + SIZE, PAD : PAD + SIZE], atol=1e-3)
