"""One anatomy and one set of render settings for all tests of this folder."""

from dataclasses import replace
from typing import Any, Protocol

import pandas as pd
import pytest

from cxr14.labels import FINDINGS
from cxr14.phantoms.anatomy import POSES, Anatomy, load_anatomy
from cxr14.phantoms.lung_boxes import to_lung_boxes
from cxr14.phantoms.render import Phantom, RenderSettings, render


@pytest.fixture(scope="session")
def anatomy() -> Anatomy:
    """Return one pose of each view; projecting the CT takes seconds."""
    return load_anatomy((POSES[0], POSES[3]))


@pytest.fixture(scope="session")
def render_settings(tables: tuple[pd.DataFrame, pd.DataFrame]) -> RenderSettings:
    boxes = to_lung_boxes(tables[1])
    return RenderSettings(boxes, size=512, contrast=1.0, shortcut=0.0, seed=14)


def row(patient: int = 1, follow_up: int = 0, *findings: str, **other: Any) -> dict[str, Any]:
    """Return the record of a man of 50, upright, with these findings."""
    facts = {
        "image": f"{patient:08d}_{follow_up:03d}.png",
        "patient": patient,
        "follow_up": follow_up,
        "age": 50,
        "sex": "M",
        "view": "PA",
    }
    return facts | {finding: int(finding in findings) for finding in FINDINGS} | other


class RenderPhantom(Protocol):
    """Renders a record, with other values of RenderSettings by name."""

    def __call__(self, record: dict[str, Any], **changes: Any) -> Phantom: ...


@pytest.fixture
def phantom_of(anatomy: Anatomy, render_settings: RenderSettings) -> RenderPhantom:
    def render_with(record: dict[str, Any], **changes: Any) -> Phantom:
        return render(record, anatomy, replace(render_settings, **changes))

    return render_with
