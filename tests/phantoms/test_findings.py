"""Where findings are drawn: masks and boxes of what can be seen."""

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxr14.labels import FINDINGS
from cxr14.masks import SIDE
from cxr14.metrics.auroc import auroc
from cxr14.phantoms.anatomy import Anatomy
from cxr14.phantoms.findings import DIFFUSE, deform_organs, simulate_findings
from cxr14.phantoms.opacities import OPACITIES, crop_patch
from cxr14.phantoms.render import Phantom, RenderSettings
from cxr14.phantoms.scene import Scene, build_scene, patient_traits, seeded_rng
from tests.phantoms.conftest import RenderPhantom, row

RESHAPING = ("Cardiomegaly", "Emphysema", "Atelectasis", "Fibrosis")
"""Findings that also move heart or diaphragm."""


def changed(phantom: Phantom, plain: Phantom) -> npt.NDArray[np.float64]:
    """Mean absolute change of each pixel of a mask, in grey levels."""
    change = np.abs(phantom.pixels.astype(float) - plain.pixels)
    cell = len(change) // SIDE
    return np.asarray(change.reshape(SIDE, cell, SIDE, cell).mean(axis=(1, 3)))


def full(boxes: list[tuple[str, float, float, float, float]]) -> npt.NDArray[np.bool_]:
    """Pixels of a mask that boxes touch."""
    inside = np.zeros((SIDE, SIDE), bool)
    for _, x, y, width, height in boxes:
        scale = SIDE / 1024
        rows = slice(int(y * scale), int(np.ceil((y + height) * scale)))
        inside[rows, int(x * scale) : int(np.ceil((x + width) * scale))] = True
    return inside


@pytest.mark.parametrize("finding", FINDINGS)
def test_every_finding_has_a_mask_and_every_local_one_boxes_around_it(
    phantom_of: RenderPhantom, finding: str
):
    for patient in range(6):
        phantom = phantom_of(row(patient, 0, finding))
        assert set(phantom.masks) == {finding}
        assert phantom.masks[finding].any()
        assert {box[0] for box in phantom.boxes} == ({finding} - set(DIFFUSE))
        if phantom.boxes:
            assert not (phantom.masks[finding] & ~full(phantom.boxes)).any()


@pytest.mark.parametrize("finding", sorted(set(FINDINGS) - set(RESHAPING)))
def test_a_finding_changes_the_picture_where_its_mask_is(phantom_of: RenderPhantom, finding: str):
    inside, outside = [], []
    for patient in range(4):
        change = changed(phantom_of(row(patient, 0, finding)), phantom_of(row(patient)))
        mask = phantom_of(row(patient, 0, finding)).masks[finding]
        inside.append(change[mask].mean())
        outside.append(change[~mask].mean())
    assert np.mean(inside) > 5 * np.mean(outside)


def test_a_boxed_lesion_leaves_the_rest_of_the_picture_as_it_was(phantom_of: RenderPhantom):
    for finding in ("Nodule", "Mass", "Hernia", "Pneumonia"):
        phantom = phantom_of(row(4, 0, finding))
        mask = phantom.masks[finding]
        rows, columns = np.nonzero(mask)
        near = np.zeros_like(mask)
        near[
            max(0, rows.min() - 25) : rows.max() + 25,
            max(0, columns.min() - 25) : columns.max() + 25,
        ] = True
        assert changed(phantom, phantom_of(row(4)))[~near].max() == 0


def scene_of(
    anatomy: Anatomy, render_settings: RenderSettings, patient: int, finding: str
) -> Scene:
    record = row(patient, 0, finding)
    shape, appearance = patient_traits(record, 14)
    deform_organs(shape, record, render_settings.boxes, 1.0, 14)
    return build_scene(anatomy, shape, appearance, "PA", seeded_rng(14, "pose", record["image"]))


@pytest.mark.parametrize(
    ("finding", "low", "high"), [("Effusion", 0.5, 1.1), ("Pneumothorax", -0.1, 0.75)]
)
def test_fluid_is_at_the_base_and_air_at_the_apex(
    anatomy: Anatomy, render_settings: RenderSettings, finding: str, low: float, high: float
):
    for patient in range(8):
        scene = scene_of(anatomy, render_settings, patient, finding)
        record = row(patient, 0, finding)
        lesions = simulate_findings(scene, record, render_settings.boxes, 14)
        for lesion in lesions[finding]:
            side = max(("right", "left"), key=lambda s: (lesion.mask & (scene.lung(s) > 12)).sum())
            top, bottom, _, _ = scene.lung_bounds(side)
            middle = (np.nonzero(lesion.mask)[0].mean() - top) / (bottom - top)
            assert low < middle < high


@pytest.mark.parametrize(
    "finding", ["Nodule", "Mass", "Infiltration", "Consolidation", "Pneumonia"]
)
def test_opacities_are_in_the_lungs(
    anatomy: Anatomy, render_settings: RenderSettings, finding: str
):
    for patient in range(8):
        scene = scene_of(anatomy, render_settings, patient, finding)
        record = row(patient, 0, finding)
        lesions = simulate_findings(scene, record, render_settings.boxes, 14)
        for lesion in lesions[finding]:
            rows, columns = np.nonzero(lesion.mask)
            assert scene.lungs[int(rows.mean()), int(columns.mean())] > 40


def test_an_enlarged_heart_is_wider_than_the_same_patients_heart(
    phantom_of: RenderPhantom, anatomy: Anatomy
):
    for patient in range(4):
        mask = phantom_of(row(patient, 0, "Cardiomegaly")).masks["Cardiomegaly"]
        shape, appearance = patient_traits(row(patient), 14)
        image = seeded_rng(14, "pose", row(patient)["image"])
        plain = build_scene(anatomy, shape, appearance, "PA", image).heart > 15
        wide = np.flatnonzero(mask.any(axis=0))
        normal = np.flatnonzero(plain.any(axis=0))
        assert 2 * (wide[-1] - wide[0]) > 1.05 * (normal[-1] - normal[0])


def test_a_finding_stays_at_its_place_in_follow_ups(phantom_of: RenderPhantom):
    def centre(patient: int, visit: int) -> npt.NDArray[np.float64]:
        mask = phantom_of(row(patient, visit, "Mass")).masks["Mass"]
        return np.array([axis.mean() for axis in np.nonzero(mask)])

    moved = [np.hypot(*(centre(patient, 0) - centre(patient, 1))) for patient in range(6)]
    apart = [np.hypot(*(centre(patient, 0) - centre(patient + 1, 0))) for patient in range(6)]
    assert np.median(moved) < 0.5 * np.median(apart)


def test_several_findings_have_a_mask_each(phantom_of: RenderPhantom):
    phantom = phantom_of(row(9, 0, "Effusion", "Nodule", "Edema"))
    assert set(phantom.masks) == {"Effusion", "Nodule", "Edema"}
    alone = phantom_of(row(9, 0, "Nodule")).masks["Nodule"]
    assert (phantom.masks["Nodule"] == alone).all()


@pytest.mark.parametrize("finding", OPACITIES)
def test_an_opacity_fades_before_the_edges_of_its_box(anatomy: Anatomy, finding: str):
    """A lobe that reached beyond the box ended in a straight edge."""
    record = row(1)
    shape, appearance = patient_traits(record, 14)
    scene = build_scene(anatomy, shape, appearance, "PA", seeded_rng(14, "pose", record["image"]))
    patch = crop_patch(scene, (120.0, 180.0, 90.0, 70.0))
    assert patch is not None
    for seed in range(20):
        density = np.abs(OPACITIES[finding](patch, np.random.default_rng(seed)))
        edges = [density[0], density[-1], density[:, 0], density[:, -1]]
        assert max(edge.max() for edge in edges) < 0.05 * density.max()


@pytest.mark.parametrize("finding", ["Effusion", "Mass"])
def test_a_classifier_cannot_tell_images_with_a_box_of_nih_from_others(
    phantom_of: RenderPhantom, tables, finding: str
):
    """Once, an image with a box was drawn by another rule, and networks missed what it showed."""
    records, boxes = tables
    same = records[(records[finding] == 1) & (records["view"] == "PA")]
    boxed = same["image"].isin(boxes.loc[boxes["finding"] == finding, "image"])
    chosen = [group.iloc[:50].to_dict("records") for group in (same[boxed], same[~boxed])]
    pictures = [phantom_of(record, size=256).pixels for group in chosen for record in group]
    thumbnails = np.stack(pictures).reshape(-1, 16, 16, 16, 16).mean(axis=(2, 4)).reshape(-1, 256)
    has_box = np.repeat([1, 0], [len(group) for group in chosen])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3))
    scores = cross_val_predict(model, thumbnails, has_box, cv=5, method="decision_function")
    area = auroc(has_box, scores)
    deviation = 1 / np.sqrt(6 * min(map(len, chosen)))  # of an AUROC without information
    assert abs(area - 0.5) < 2.6 * deviation  # one in a hundred by chance
