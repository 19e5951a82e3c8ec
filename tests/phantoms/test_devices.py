"""Devices: how often, where, and the shortcut that binds drains to Pneumothorax."""

from typing import Any

import numpy as np
import pytest

from cxr14.labels import FINDINGS
from cxr14.phantoms.anatomy import Anatomy
from cxr14.phantoms.devices import add_devices, sample_devices
from cxr14.phantoms.scene import Scene, build_scene, finding_side, patient_traits, seeded_rng


def row(patient: int, *findings: str, **other: Any) -> dict[str, Any]:
    facts = {"image": f"{patient:08d}_000.png", "patient": patient, "age": 50, "sex": "M"}
    facts |= {"view": "PA"} | {finding: int(finding in findings) for finding in FINDINGS}
    return facts | other


def scene(anatomy: Anatomy, record: dict[str, Any]) -> Scene:
    shape, appearance = patient_traits(record, 14)
    return build_scene(
        anatomy, shape, appearance, record["view"], seeded_rng(14, "pose", record["image"])
    )


def drained(shortcut: float, *findings: str) -> float:
    """Share of 1,500 patients with a drain."""
    names = [sample_devices(row(patient, *findings), 14, shortcut) for patient in range(1500)]
    return float(np.mean(["drain" in found for found in names]))


def test_without_a_shortcut_drains_do_not_depend_on_the_findings():
    for patient in range(300):
        assert sample_devices(row(patient), 14, 0.0) == sample_devices(
            row(patient, *FINDINGS), 14, 0.0
        )
    assert 0.02 < drained(0.0) < 0.04


def test_with_the_full_shortcut_a_drain_is_a_pneumothorax():
    assert drained(1.0, "Pneumothorax") == 1.0
    assert drained(1.0, *(finding for finding in FINDINGS if finding != "Pneumothorax")) == 0.0


def test_half_a_shortcut_is_the_mixture():
    assert drained(0.5, "Pneumothorax") == pytest.approx(0.5 + 0.5 * 0.03, abs=0.04)
    assert drained(0.5) == pytest.approx(0.5 * 0.03, abs=0.01)


def test_the_shortcuts_drain_lies_on_the_side_of_the_pneumothorax(anatomy: Anatomy):
    sides = set()
    for patient in range(12):
        record = row(patient, "Pneumothorax")
        side = finding_side(record, "Pneumothorax", 14)
        patient_scene = scene(anatomy, record)
        mask = add_devices(patient_scene, record, 14, 1.0)[1]["drain"]
        counts = {
            name: (mask & (patient_scene.lung(name) > 12)).sum() for name in ("right", "left")
        }
        assert max(counts, key=lambda name: counts[name]) == side
        sides.add(side)
    assert sides == {"right", "left"}


def test_half_of_the_portable_and_a_tenth_of_the_upright_images_show_a_device():
    shares = {
        view: np.mean(
            [bool(sample_devices(row(patient, view=view), 14, 0.0)) for patient in range(1500)]
        )
        for view in ("AP", "PA")
    }
    assert 0.4 < shares["AP"] < 0.6
    assert 0.05 < shares["PA"] < 0.1


def test_a_mask_covers_the_density_of_its_device_and_nothing_else(anatomy: Anatomy):
    drawn = set()
    rows = [row(patient, "Pneumothorax", view="AP") for patient in range(400)]
    paced = [record for record in rows if "pacemaker" in sample_devices(record, 14, 1.0)]
    for record in [*rows[:20], *paced[:3]]:
        water, masks = add_devices(scene(anatomy, record), record, 14, 1.0)
        assert water.shape == (512, 512)
        assert water.dtype == np.float32
        union = np.any(list(masks.values()), axis=0)
        assert water[union].mean() > 2
        assert np.abs(water[~union]).sum() < 0.1 * np.abs(water).sum()  # the rims' half px
        assert all(mask.any() for mask in masks.values())
        drawn |= set(masks)
    assert drawn == {"line", "tube", "electrodes", "pacemaker", "drain"}


def test_equal_arguments_give_equal_devices(anatomy: Anatomy):
    record = row(4, "Pneumothorax", view="AP")
    first, second = (add_devices(scene(anatomy, record), record, 14, 1.0)[0] for _ in range(2))
    assert first.tobytes() == second.tobytes()
    other = add_devices(scene(anatomy, record), record, 15, 1.0)[0]
    assert (first != other).any()


def test_a_pacemaker_stays_with_its_patient():
    for patient in range(200):
        visits = [sample_devices(row(patient, image=f"{patient}_{n}"), 14, 0.0) for n in range(3)]
        assert len({"pacemaker" in names for names in visits}) == 1
