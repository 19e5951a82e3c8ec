"""What `dvc plots` draws of evaluation and localisation says so where pixels are simulated."""

import json
import re

import pandas as pd
import pytest
import vl_convert

from cxr14.datasets.records import PHANTOM_NOTE
from tests.conftest import ROOT

CURVE = pd.DataFrame({"finding": "Mass", "recall": [0.1, 0.9], "precision": [0.8, 0.3]})
SCORES = pd.DataFrame({"finding": ["Mass", "Nodule"], "auroc": 0.7})
HITS = pd.DataFrame(
    {
        "measure": ["iobb", "iou"],
        "overlap_threshold": 0.1,
        "heat_threshold": "pooled",
        "accuracy": 0.4,
    }
)


def draw(name, points, axes):
    """Fill a template as DVC does, and draw it: SVG."""
    filled = (ROOT / f".dvc/plots/{name}.json").read_text()
    filled = filled.replace('"<DVC_METRIC_DATA>"', json.dumps(points))
    for mark, column in zip("XY", axes, strict=True):
        filled = filled.replace(f"<DVC_METRIC_{mark}>", column)
    return str(vl_convert.vegalite_to_svg(filled))


@pytest.mark.parametrize(
    ("name", "table", "axes"),
    [
        ("by_finding", CURVE, ("recall", "precision")),
        ("intervals", SCORES.assign(auroc_low=0.6, auroc_high=0.8), ("auroc", "finding")),
        ("localized", HITS.assign(finding="mean"), ("overlap_threshold", "accuracy")),
    ],
)
def test_a_plot_of_phantoms_is_labelled_and_one_of_real_pixels_is_not(name, table, axes):
    """The tables of evaluation and localisation had no column for the note to be taken from."""

    def drawn(phantom: int) -> str:
        points = table.assign(rev="workspace", phantom=phantom).astype(str).to_dict("records")
        return draw(name, points, axes)

    assert PHANTOM_NOTE in drawn(1)
    assert PHANTOM_NOTE not in drawn(0)
    assert "mark" in drawn(0)


def test_epochs_are_whole_and_ordered_as_numbers():
    """DVC reads a CSV as text, in which 10 is before 2."""
    points = [{"epoch": str(epoch), "score": "0.7", "rev": "workspace"} for epoch in range(1, 11)]
    labels = re.findall(r">(\d+)</text>", draw("epochs", points, ("epoch", "score")))
    assert labels[:10] == [str(epoch) for epoch in range(1, 11)]  # then those of the y axis
