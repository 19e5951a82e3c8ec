"""The printed tables."""

import io
import re

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from cxr14.datasets.records import PHANTOM_NOTE, Source
from cxr14.localization.control_baselines import control_grids
from cxr14.localization.overlap import Thresholds
from cxr14.localization.scores import Maps, PixelMaps
from cxr14.localization.tables import score
from cxr14.report.terminal_localization import accuracy_table, localization_tables

PHANTOM, NIH = Source("phantom", True, False), Source("nih", False, True)


def tables_of(boxed, pixels, similarity=0.2, **empty):
    controls = control_grids(boxed, (4, 4), 0.0, np.random.default_rng(1))
    grids = np.random.default_rng(2).random((len(boxed.pairs), 4, 4)).astype(np.float16)
    for name, count in empty.items():
        grids[np.flatnonzero(boxed.finding_of_pair == name)[:count]] = 0
    similar = pd.DataFrame({"head": [0.1], "network": [similarity]})
    maps = Maps(boxed, {"gradcam": grids} | controls, pd.DataFrame(), similar, pixels)
    return score(maps, Thresholds([0.1, 0.25], [0.1], [60, 180])).tables


def text_of(*tables, width=80):
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(*tables)
    return console.export_text()


def test_accuracy_states_n_what_was_not_trained_and_phantom(boxed, no_pixels):
    table = accuracy_table(
        "alexnet, gradcam", tables_of(boxed, no_pixels)["accuracy"], "iobb", PHANTOM
    )
    text = text_of(table)
    assert PHANTOM_NOTE in " ".join(text.split())
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.split()}
    assert lines["finding"] == ["finding", "n", ".1", ".25", "AFP"]
    assert lines["Mass"][1] == "16"
    assert lines["Effusion"] == ["Effusion", "0", "–", "–", "–"]
    assert lines["Pneumonia"] == ["Pneumonia", "not", "trained", "–", "–", "–"]
    assert lines["mean"][1] == "26"


def test_the_method_stands_beside_the_controls_within_eighty_columns(boxed, no_pixels):
    text = text_of(
        *localization_tables(
            "alexnet, gradcam, 16 boxed images", tables_of(boxed, no_pixels), PHANTOM
        )
    )
    for name in ("gradcam", "random", "centre_gaussian", "mean_box"):
        line = next(line for line in text.splitlines() if line.split()[:1] == [name])
        assert len(line.split()) == 5  # name, IoBB .1, IoU .1 (.5 was not asked), pointing, energy
    assert "…" not in text
    assert "16 boxed images" in " ".join(text.split())


def test_maps_without_heat_are_counted_by_finding(boxed, no_pixels):
    _, _, controls, *_ = localization_tables("alexnet", tables_of(boxed, no_pixels), NIH)
    assert "no heat in 0 of 26 maps all weights" in " ".join(text_of(controls).split())
    _, _, controls, *_ = localization_tables(
        "alexnet", tables_of(boxed, no_pixels, Mass=2, Nodule=1), NIH
    )
    assert "no heat in 3 of 26 maps: Mass 2, Nodule 1" in text_of(controls)


@pytest.mark.parametrize(
    ("similarity", "said"),
    [
        (0.2, "similarity 0.20, absolute 0.20, over 1 maps (above 0.5 it would be flagged)"),
        (
            -0.8,
            "similarity -0.80, absolute 0.80, over 1 maps: these maps do not depend on what was learnt",
        ),
        (
            0.8,
            "similarity 0.80, absolute 0.80, over 1 maps: these maps do not depend on what was learnt",
        ),
        (np.nan, "all weights random: no pair of maps to compare"),
    ],
)
def test_maps_that_stay_without_what_was_learnt_are_flagged(boxed, no_pixels, similarity, said):
    _, _, controls, *_ = localization_tables(
        "alexnet", tables_of(boxed, no_pixels, similarity), NIH
    )
    assert said in " ".join(text_of(controls, width=200).split())
    assert ("red" in str(controls.caption)) == (abs(similarity) > 0.5)


def test_differences_from_controls_are_counted_as_they_are_not_adjusted(boxed, no_pixels):
    tables = tables_of(boxed, no_pixels)
    text = text_of(localization_tables("alexnet", tables, NIH)[3])
    lines = {line.split()[0]: line for line in text.splitlines() if line.split()}
    assert lines["method"].split() == ["method", "−", "random", "centre_gaussian", "mean_box"]
    for name in ("iobb", "iou", "pointing", "energy"):
        assert len(re.findall(r"[+−]?\.\d{3}", lines[name])) == 3
    assert "12 intervals of 95 % each, not adjusted" in " ".join(text.split())


def test_pixel_scores_are_printed_where_there_are_masks(boxed, masked, no_pixels):
    assert len(localization_tables("alexnet", tables_of(boxed, no_pixels), NIH)) == 4
    grids = np.random.default_rng(3).random((len(masked.pairs), 4, 4)).astype(np.float16)
    tables = tables_of(boxed, PixelMaps(masked, {"gradcam": grids}))
    text = text_of(localization_tables("alexnet", tables, PHANTOM)[-1])
    assert "pointing energy IoU, heat > 60 IoU, heat > 180" in " ".join(text.split())
    assert "26 masks" in text
