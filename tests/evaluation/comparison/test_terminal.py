"""What the comparison prints."""

import numpy as np
import pandas as pd
from rich.console import Console

from cxr14.console import TABLE_WIDTH, format_difference
from cxr14.datasets.records import PHANTOM_NOTE
from cxr14.evaluation.compare import difference_table
from cxr14.evaluation.subgroups import subgroup_tables
from cxr14.labels import FINDINGS
from cxr14.metrics.bootstrap import ENDS, draw_replicates
from cxr14.report import terminal
from tests.sources import OFFICIAL, PHANTOM


def printed(table, width=160) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_a_star_marks_intervals_that_leave_zero_out():
    assert format_difference(0.2, 0.1, 0.3) == "+.200 (+.100 to +.300) *"
    assert format_difference(-0.2, -0.3, -0.1).endswith("*")
    assert not format_difference(0.1, -0.1, 0.3).endswith("*")
    nothing = float("nan")
    assert format_difference(0.2, nothing, nothing) == "+.200 (– to –)"


def test_differences_are_a_row_per_pair_and_phantoms_are_labelled(records, answers, resamples):
    table = difference_table(records, answers, resamples)
    text = printed(terminal.differences(table, source=PHANTOM))
    assert "good − poor" in text
    assert f"{len(records)} images of {records['patient'].nunique()} patients" in text
    assert PHANTOM_NOTE in text
    assert PHANTOM_NOTE not in printed(terminal.differences(table, source=OFFICIAL))
    assert printed(terminal.differences(table[:0], source=OFFICIAL))  # a single network


def test_the_largest_gap_is_the_one_furthest_from_zero_by_its_interval():
    def gap(group: str, value: float, half: float) -> dict:
        own = {"auroc": value, "auroc_low": value - half, "auroc_high": value + half}
        rest = dict.fromkeys(f"{name}{end}" for name in terminal.WORDS for end in ENDS)
        where = {"backbone": "b", "attribute": "age", "group": group, "reference": "the rest"}
        return rest | where | {"finding": "macro", "images": 9, "images_reference": 91} | own

    gaps = pd.DataFrame([gap("small", 0.4, 0.5), gap("sure", -0.2, 0.05), gap("none", 0.01, 0.2)])
    text = printed(terminal.largest_gaps(gaps, source=OFFICIAL))
    order = sorted(("small", "sure", "none"), key=text.index)
    assert order == ["sure", "small", "none"]
    assert "9, 91" in text


def test_gaps_are_printed_of_one_attribute_at_a_time(records, answers, resamples):
    gaps = subgroup_tables(records, answers, resamples)[1]
    text = printed(terminal.largest_gaps(gaps, source=PHANTOM))
    assert "×" not in text
    assert PHANTOM_NOTE in text


def test_differences_without_a_score_or_an_interval_are_dashes(records, answers):
    """One patient has no interval, an absent finding no score; both columns held None and failed."""
    alone = records.assign(patient=1)
    drawn = draw_replicates(alone["patient"].to_numpy(), np.random.default_rng(1), 20)
    text = printed(terminal.differences(difference_table(alone, answers, drawn), source=OFFICIAL))
    assert "(– to –)" in text
    nothing = records.assign(**dict.fromkeys(FINDINGS, 0))
    table = difference_table(nothing, answers, drawn)
    assert "– (– to –)" in printed(terminal.differences(table, source=OFFICIAL))


def test_at_the_width_of_the_stage_no_interval_is_cut_at_official_size():
    """At the eighty columns of a pipe the ends of intervals and the names of networks were."""
    gap = {f"{name}{end}": -0.123 for name in terminal.WORDS for end in ENDS}
    where = {
        "backbone": "densenet121",
        "attribute": "age",
        "group": "20–39",
        "reference": "the rest",
    }
    counts = {"images": 12_345, "images_reference": 13_251}
    rows = [where | counts | gap | {"finding": finding} for finding in ("macro", "No Finding")]
    text = printed(terminal.largest_gaps(pd.DataFrame(rows), source=PHANTOM), TABLE_WIDTH)
    assert "…" not in text
    assert text.count("−.123 (−.123 to −.123) *") == len(terminal.GAP_MEASURES)
