"""Which images the figures show."""

import numpy as np
import pandas as pd
import pytest

from cxr14.datasets.statistics import multi_label_samples, single_label_samples
from cxr14.figures import eda
from cxr14.labels import CLASSES, LABEL_COLUMNS
from tests.sources import OFFICIAL, PHANTOM


def records(rows: list[tuple[str, int, str]]) -> pd.DataFrame:
    """One record a row: labels, patient, view."""
    frame = pd.DataFrame(
        {
            "image": [f"{n:08d}_000.png" for n in range(len(rows))],
            "patient": [row[1] for row in rows],
            "age": 50,
            "sex": "F",
            "view": [row[2] for row in rows],
        }
    )
    for name, column in zip(CLASSES, LABEL_COLUMNS, strict=True):
        frame[column] = np.array([name in row[0].split("|") for row in rows], np.uint8)
    return frame


def shown(table: pd.DataFrame) -> list[tuple[str, int]]:
    return [(row.findings, int(row.image[:8])) for row in table.itertuples()]


def test_a_single_label_sample_has_that_label_only_and_prefers_a_pa_view() -> None:
    images = records(
        [("Mass|Nodule", 1, "PA"), ("Mass", 2, "AP"), ("Mass", 3, "PA"), ("No Finding", 4, "AP")]
    )
    assert shown(single_label_samples(images)) == [("Mass", 2), ("No Finding", 3)]


def test_no_patient_is_shown_twice_in_a_figure() -> None:
    images = records([("Mass", 1, "PA"), ("Nodule", 1, "PA"), ("Nodule", 2, "AP")])
    assert shown(single_label_samples(images)) == [("Mass", 0), ("Nodule", 2)]


def test_the_choice_does_not_depend_on_the_order_of_the_rows() -> None:
    rows = [("Mass|Nodule", n % 4, "PA") for n in range(6)] + [("Mass", n, "AP") for n in range(4)]
    images = records(rows)
    turned = images.iloc[::-1]
    for choose in (single_label_samples, multi_label_samples):
        pd.testing.assert_frame_equal(choose(images), choose(turned))


def test_the_commonest_pairs_come_first_then_the_commonest_triples() -> None:
    rows = [("Effusion|Mass", 1), ("Edema|Mass", 2), ("Edema|Mass", 3), ("Edema|Hernia", 4)]
    rows += [("Effusion|Mass|Nodule", 5), ("Mass", 6), ("Effusion|Mass|Nodule|Edema", 7)]
    images = records([(labels, patient, "PA") for labels, patient in rows])
    assert shown(multi_label_samples(images, count=2)) == [
        ("Mass|Edema", 1),
        ("Edema|Hernia", 3),
        ("Effusion|Mass|Nodule", 4),
    ]


def test_no_images_give_no_samples() -> None:
    assert single_label_samples(records([])).empty
    assert multi_label_samples(records([])).empty


def test_the_line_below_the_title_tells_what_is_simulated_and_what_is_missing() -> None:
    table = single_label_samples(records([("Mass", 1, "PA")]))
    assert eda.subtitle("Figure 6", table, OFFICIAL) == "Figure 6"
    assert eda.subtitle("Figure 6", table, PHANTOM, ["Mass", "Pleural_Thickening"]) == (
        "Figure 6; phantom radiographs: simulated pixels, real records; "
        "no sample of Pleural thickening"
    )
    assert eda.subtitle("Figure 6", table, OFFICIAL, CLASSES).endswith("no sample of 14 labels")


def test_samples_and_images_must_be_as_many() -> None:
    table = single_label_samples(records([("Mass", 1, "PA")]))
    with pytest.raises(ValueError, match="2 images for 1 samples"):
        eda.draw(table, np.zeros((2, 8, 8), np.uint8), 5, "title", "below")
