"""The summary of all backbones, and how it is printed."""

import pytest
from rich.console import Console

from cxr14.report.summary import LEGEND, legend, read_results, summarise
from cxr14.report.terminal import HEADER, summary_rows, summary_table
from tests.report.written import write_results
from tests.sources import OFFICIAL, OWN_SPLIT, PHANTOM

FEW = 15  # keys of a backbone in `dvc metrics diff`


def test_every_backbone_and_the_baseline_are_a_group_of_numbers(phantoms):
    summary = summarise(phantoms)
    assert list(summary) == ["alexnet", "resnet50", "baseline", "phantom", "official_split"]
    assert (summary["phantom"], summary["official_split"]) == (1, 0)
    own = summary["resnet50"]
    assert own["test_macro_auroc"] == 0.81
    assert own["test_no_finding_auroc"] == 0.665
    assert own["validation_macro_auroc"] == 0.77
    assert own["boxes_mean_accuracy_iobb_t10"] == 0.495
    assert own["boxes_mean_pointing"] == 0.455
    assert own["boxes_boxed_images"] == 73
    assert summary["baseline"] == {
        "test_macro_auroc": 0.5,
        "test_macro_average_precision": 0.1,
        "test_macro_f1": 0.0,
        "test_findings_scored": 14,
    }


def test_metrics_diff_stays_readable(phantoms):
    summary = summarise(phantoms)
    assert all(len(summary[name]) <= FEW for name in phantoms.backbones)
    numbers = [value for name in phantoms.backbones for value in summary[name].values()]
    assert all(isinstance(value, int | float) for value in numbers)


def test_results_are_read_of_the_named_backbones_in_their_order(tmp_path):
    write_results(tmp_path, PHANTOM)
    results = read_results(tmp_path, ["resnet50", "alexnet"])
    assert results.backbones == ["resnet50", "alexnet"]
    assert list(dict.fromkeys(results.tables["findings"]["backbone"])) == ["resnet50", "alexnet"]
    assert len(results.of("findings", "alexnet")) == 15


def test_the_backbone_shown_is_the_best_by_validation_whatever_test_says(phantoms):
    assert phantoms.best == "resnet50"
    phantoms.evaluate["resnet50"]["validation_macro_auroc"] = 0.1
    assert phantoms.best == "alexnet"
    phantoms.evaluate["alexnet"]["macro_auroc"] = 0.1
    assert phantoms.best == "alexnet"


def test_what_was_not_judged_yet_is_named_with_the_remedy(tmp_path):
    backbones = write_results(tmp_path, PHANTOM)
    (tmp_path / "metrics/localize/alexnet.json").unlink()
    (tmp_path / "metrics/compare/gaps.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"no .*alexnet\.json, .*gaps\.csv; .*dvc repro"):
        read_results(tmp_path, backbones)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (PHANTOM, "says nothing about patients"),
        (OFFICIAL, "Source nih, the official"),
        (OWN_SPLIT, "a split of our own"),
    ],
)
def test_the_caution_names_source_and_split(source, words):
    assert words in source.caution


def test_rows_are_ordered_by_score_and_the_baseline_comes_last(phantoms):
    ordered = summary_rows(phantoms)
    assert [row[0] for row in ordered] == ["resnet50", "alexnet", "baseline"]
    assert ordered[0][:3] == ("resnet50", ".810\n.790–.830", ".315\n.295–.335")
    assert ordered[0][3:] == (
        ".285\n.265–.305",
        ".665\n.645–.685",
        *[".495\n.475–.515"] * 2,
        "1.27",
    )
    assert ordered[2] == ("baseline", ".500", ".100", ".000", "–", "–", "–", "–")
    assert {len(row) for row in ordered} == {len(HEADER)}


def test_the_baseline_comes_last_below_a_worse_network_and_one_without_a_score(phantoms):
    """A network below one half used to be listed under the baseline."""
    phantoms.evaluate["alexnet"]["macro_auroc"] = 0.4
    phantoms.evaluate["resnet50"]["macro_auroc"] = None
    assert [row[0] for row in summary_rows(phantoms)] == ["alexnet", "resnet50", "baseline"]


def test_a_baseline_without_a_score_is_listed_too(phantoms):
    phantoms.baseline["test"] = {"macro_auroc": None, "images": 0}
    assert summary_rows(phantoms)[-1] == ("baseline", *["–"] * 7)


def test_the_table_is_printed_with_its_caution_and_n(phantoms):
    console = Console(width=200)
    with console.capture() as captured:
        console.print(summary_table(phantoms, PHANTOM.caution))
    printed = " ".join(captured.get().split())  # the title is as wide as the table
    assert "resnet50" in printed
    assert "says nothing about patients" in printed
    assert "236 images of 142 patients, 73 boxed images" in printed


def test_no_interval_is_cut_on_a_terminal_of_eighty_columns(phantoms):
    console = Console(width=80)
    with console.capture() as captured:
        console.print(summary_table(phantoms, PHANTOM.caution))
    assert "…" not in captured.get()
    assert console.measure(summary_table(phantoms, "")).minimum <= 80
    assert captured.get().count("–") > 12


def test_a_network_without_no_finding_has_no_score_of_it(phantoms):
    phantoms.evaluate["alexnet"]["no_finding_auroc"] = None
    summary = summarise(phantoms)
    assert summary["alexnet"]["test_no_finding_auroc"] is None
    assert summary["resnet50"]["test_no_finding_auroc"] == 0.665


def test_the_legend_counts_findings_where_the_rows_are_not_over_equally_many(phantoms):
    assert legend(phantoms).endswith("findings: alexnet 13, resnet50 13, baseline 14.")
    phantoms.baseline["test"]["findings_scored"] = 13
    assert legend(phantoms) == LEGEND


def test_scores_with_test_time_augmentation_stand_beside_those_without(phantoms):
    """Of one network; another has none."""
    plain = legend(phantoms)
    for name, value in {"without_tta": 0.8, "tta_difference": 0.01}.items():
        for measure in ("auroc", "average_precision", "f1"):
            phantoms.evaluate["resnet50"][f"macro_{measure}_{name}"] = value
    ends = {"macro_auroc_tta_difference_low": 0.002, "macro_auroc_tta_difference_high": 0.018}
    phantoms.evaluate["resnet50"] |= ends
    said = legend(phantoms)
    assert said.startswith(plain)
    assert "resnet50 AUROC .800, +.010 (+.002 to +.018) *; AP .800, +.010" in said
    assert "alexnet" not in said.removeprefix(plain)
    summary = summarise(phantoms)
    assert summary["resnet50"]["test_macro_auroc_without_tta"] == 0.8
    assert summary["resnet50"]["test_macro_f1_tta_difference"] == 0.01
    assert not any("tta" in key for key in summary["alexnet"])


def test_networks_whose_initial_weights_have_seen_the_test_images_are_named(phantoms):
    phantoms.evaluate["alexnet"]["initial_weights_saw_test_images"] = 1
    phantoms.evaluate["resnet50"]["initial_weights_saw_test_images"] = 0
    assert " alexnet: started from published weights" in legend(phantoms)
    phantoms.evaluate["alexnet"]["initial_weights_saw_test_images"] = 0
    assert "published weights" not in legend(phantoms)
