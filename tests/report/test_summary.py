"""The summary of all backbones, and how it is printed."""

import json

import pytest
from rich.console import Console

from cxr14.files import write_metrics
from cxr14.report.summary import caution, read_metrics, summarise
from cxr14.report.terminal import HEADER, LEGEND, interval, legend, rows, table
from cxr14.wording import shown

PHANTOM = {"source": "phantom", "phantom": True, "official_split": False}


def test_every_backbone_and_the_baseline_are_a_group_of_numbers(metrics, baseline):
    summary = summarise(metrics, baseline, PHANTOM)
    assert list(summary) == ["alexnet", "resnet50", "baseline", "phantom", "official_split"]
    assert (summary["phantom"], summary["official_split"]) == (1, 0)
    own = summary["resnet50"]
    assert own["test_macro_auroc"] == 0.81
    assert own["test_no_finding_auroc"] == 0.66
    assert own["validation_macro_auroc"] == 0.77
    assert own["boxes_mean_accuracy_iobb_t10"] == 0.5
    assert own["boxes_boxed_images"] == 8
    assert summary["baseline"] == {
        "test_macro_auroc": 0.5,
        "test_macro_average_precision": 0.1,
        "test_macro_f1": 0.0,
        "test_findings_scored": 14,
    }


def test_metrics_are_read_of_the_named_backbones_in_their_order(metrics, tmp_path):
    for backbone, own in metrics.items():
        for name, values in own.items():
            write_metrics(tmp_path / name / f"{backbone}.json", values)
    found = read_metrics(tmp_path, ["resnet50", "alexnet"])
    assert list(found) == ["resnet50", "alexnet"]
    assert found["alexnet"]["evaluate"] == json.loads(json.dumps(metrics["alexnet"]["evaluate"]))


def test_a_backbone_that_was_not_judged_yet_is_named_with_the_remedy(metrics, tmp_path):
    write_metrics(tmp_path / "evaluate" / "alexnet.json", metrics["alexnet"]["evaluate"])
    with pytest.raises(FileNotFoundError, match=r"no .*localize/alexnet\.json; .*dvc repro"):
        read_metrics(tmp_path, ["alexnet"])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (PHANTOM, "says nothing about patients"),
        ({"source": "nih", "phantom": False, "official_split": True}, "Source nih, the official"),
        ({"source": "folder", "phantom": False, "official_split": False}, "a split of our own"),
    ],
)
def test_the_caution_names_source_and_split(source, words):
    assert words in caution(source)


def test_rows_are_ordered_by_score_and_the_baseline_comes_last(metrics, baseline):
    ordered = rows(summarise(metrics, baseline, PHANTOM))
    assert [row[0] for row in ordered] == ["resnet50", "alexnet", "baseline"]
    expected = ("resnet50", ".810 .790–.830", ".310", ".280", ".660")
    assert ordered[0][:5] == expected
    assert ordered[2] == ("baseline", ".500", ".100", ".000", "–", "–", "–")
    assert {len(row) for row in ordered} == {len(HEADER)}


def test_the_baseline_comes_last_below_a_worse_network_and_one_without_a_score(metrics, baseline):
    """A network below one half used to be listed under the baseline."""
    metrics["alexnet"]["evaluate"]["macro_auroc"] = 0.4
    metrics["resnet50"]["evaluate"]["macro_auroc"] = None
    ordered = rows(summarise(metrics, baseline, PHANTOM))
    assert [row[0] for row in ordered] == ["alexnet", "resnet50", "baseline"]


def test_a_baseline_without_a_score_is_listed_too(metrics):
    summary = summarise(metrics, {"test": {"macro_auroc": None, "images": 0}}, PHANTOM)
    assert rows(summary)[-1] == ("baseline", "–", "–", "–", "–", "–", "–")


def test_the_table_can_be_printed_with_its_caution(metrics, baseline):
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table(summarise(metrics, baseline, PHANTOM), caution(PHANTOM)))
    printed = captured.get()
    assert "resnet50" in printed
    assert "says nothing about patients" in printed


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.8125, ".812"), (1.0, "1.000"), (0.0, ".000"), (-0.5, "-0.500"), (None, "–")],
)
def test_scores_are_printed_as_in_the_literature(value, text):
    assert shown(value) == text


def test_an_interval_stands_behind_its_score():
    assert interval(0.8, 0.75, 0.85) == ".800 .750–.850"
    assert interval(0.8, None, None) == ".800"


def test_a_network_without_no_finding_has_no_score_of_it(metrics, baseline):
    metrics["alexnet"]["evaluate"]["no_finding"] = None
    summary = summarise(metrics, baseline, PHANTOM)
    assert summary["alexnet"]["test_no_finding_auroc"] is None
    assert summary["resnet50"]["test_no_finding_auroc"] == 0.66


def test_the_legend_counts_findings_where_the_rows_are_not_over_equally_many(metrics, baseline):
    summary = summarise(metrics, baseline, PHANTOM)
    assert legend(summary).endswith("findings: alexnet 13, resnet50 13, baseline 14.")
    baseline["test"]["findings_scored"] = 13
    assert legend(summarise(metrics, baseline, PHANTOM)) == LEGEND
