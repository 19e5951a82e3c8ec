"""Inputs of the report, read from the files of other stages, and the summary of metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd

from cxr14.console import format_difference, format_number
from cxr14.datasets.records import Source, read_source
from cxr14.evaluation.measures import MACRO, MEASURES, SAW_TEST_IMAGES, TTA_DIFFERENCE, WITHOUT_TTA
from cxr14.io import read_csv, read_numbers
from cxr14.labels import NO_FINDING
from cxr14.metrics.bootstrap import ENDS

EVALUATE_TABLES: Final = ("findings", "means")
LOCALIZE_TABLES: Final = (
    "accuracy",
    "controls",
    "pointing",
    "pixels",
    "crossfit",
    "sanity_check",
)
EXTERNAL_TABLES: Final = ("findings", "means", "gap")
COMPARED: Final = ("differences", "subgroups", "gaps", "adjudicated")
CURVES: Final = ("roc", "pr", "reliability")

HEADLINE: Final = {
    "evaluate": ("validation_macro_auroc", "images", "macro_auroc"),
    "localize": ("boxed_images", "mean_accuracy_iobb_t10", "mean_false_boxes_iobb_t10"),
}
"""Required keys of metrics/STAGE/B.json."""

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "findings": ("finding", "positives", "auroc", "average_precision", "f1", "threshold"),
    "means": ("mean", "value", "low", "high"),
    "gap": ("measure", "finding", "ours", "external", "difference", "low", "high", "reason"),
    "accuracy": (
        "measure",
        "overlap_threshold",
        "heat_threshold",
        "finding",
        "n_pairs",
        "accuracy",
        "afp",
    ),
    "controls": (
        "method",
        "measure",
        "overlap_threshold",
        "heat_threshold",
        "finding",
        "accuracy",
        "difference",
    ),
    "pointing": ("method", "finding", "n_pairs", "pointing", "energy", "pointing_difference"),
    "pixels": ("method", "measure", "heat_threshold", "finding", "n_pairs", "value"),
    "crossfit": ("measure", "overlap_threshold", "finding", "n_pairs", "accuracy"),
    "sanity_check": ("randomized_layers", "n_pairs", "similarity"),
    "differences": ("model_a", "model_b", "measure", "difference", "low", "high"),
    "subgroups": ("backbone", "attribute", "group", "finding", "auroc"),
    "gaps": ("backbone", "attribute", "group", "reference", "finding", "auroc"),
    "adjudicated": ("backbone", "label", "auroc_adjudicated", "auroc_mined", "difference"),
    "roc": ("backbone", "finding"),
    "pr": ("backbone", "finding"),
    "reliability": ("backbone", "finding"),
}
"""Required columns by table."""


@dataclass(frozen=True)
class Results:
    """Headline metrics by backbone, and the tables of all backbones."""

    source: Source
    baseline: dict[str, Any]  # metrics/baseline.json
    evaluate: dict[str, dict[str, Any]]  # by backbone, see read_headline
    localize: dict[str, dict[str, Any]]  # by backbone, see read_headline
    tables: dict[str, pd.DataFrame]  # by name of the file; column `backbone`, or `first`, `second`
    curves: dict[str, pd.DataFrame]  # plots/compare, by name of the file
    external: "dict[str, ExternalResults]" = field(default_factory=dict)  # by name of the set

    @property
    def backbones(self) -> list[str]:
        """Names of the backbones, in the order of params.yaml."""
        return list(self.evaluate)

    @property
    def best(self) -> str:
        """Name of the backbone with the highest macro AUROC on validation."""
        return max(self.evaluate, key=lambda name: self.evaluate[name]["validation_macro_auroc"])

    def of(self, table: str, backbone: str | None = None) -> pd.DataFrame:
        """Return a table's rows of one backbone, by default the best."""
        rows = self.tables[table]
        return rows[rows["backbone"] == (backbone or self.best)]


@dataclass(frozen=True)
class ExternalResults:
    """Results on an external set: headline numbers by backbone, and tables of all backbones."""

    numbers: dict[str, dict[str, Any]]  # metrics/external/SET/B.json
    tables: dict[str, pd.DataFrame]  # findings, means and gap, with a column `backbone`


def read_external_results(root: Path, name: str, backbones: list[str]) -> ExternalResults:
    """Read the results on an external set.

    Raises:
        UserError: a file is missing or damaged.
    """
    folder = root / "metrics" / "external" / name
    return ExternalResults(
        {b: read_numbers(folder / f"{b}.json", "images", "macro_auroc") for b in backbones},
        {
            file: pd.concat(
                [_table(folder / b / f"{file}.csv", file).assign(backbone=b) for b in backbones]
            )
            for file in EXTERNAL_TABLES
        },
    )


def read_results(
    root: Path, backbones: list[str], source: Source | None = None, sets: Sequence[str] = ()
) -> Results:
    """Read metrics, tables and curves of the backbones.

    Args:
        root: of the project.
        backbones: names, in the order of the report.
        source: read from data/records if None. If given, files that are not in git are not read:
            there are no curves.
        sets: names of the external sets, in the order of the report.

    Raises:
        FileNotFoundError: files are missing; names all of them.
        UserError: a file is damaged.
    """
    metrics, plots = root / "metrics", root / "plots" / "compare"
    jsons = {s: {b: metrics / s / f"{b}.json" for b in backbones} for s in ("evaluate", "localize")}
    details = {
        (name, b): metrics / stage / b / f"{name}.csv"
        for stage, names in (("evaluate", EVALUATE_TABLES), ("localize", LOCALIZE_TABLES))
        for name in names
        for b in backbones
    }
    shared = {name: metrics / "compare" / f"{name}.csv" for name in COMPARED}
    curves = {} if source else {name: plots / f"{name}.csv" for name in CURVES}
    recorded, baseline = root / "data/records/source.json", metrics / "baseline.json"
    single = [baseline] if source else [recorded, baseline]
    by_backbone = [path for paths in jsons.values() for path in paths.values()]
    ends = [metrics / s / b / INTERVALS[s][0] for s in jsons for b in backbones]
    _check([*single, *by_backbone, *ends, *details.values(), *shared.values(), *curves.values()])
    tables = {
        name: pd.concat([_table(details[name, b], name).assign(backbone=b) for b in backbones])
        for name in (*EVALUATE_TABLES, *LOCALIZE_TABLES)
    }
    return Results(
        source=source or read_source(recorded),
        baseline=read_numbers(baseline, "test"),
        evaluate={name: read_headline(metrics, "evaluate", name) for name in backbones},
        localize={name: read_headline(metrics, "localize", name) for name in backbones},
        tables=tables | {name: _table(path, name) for name, path in shared.items()},
        curves={name: _table(path, name) for name, path in curves.items()},
        external={name: read_external_results(root, name, backbones) for name in sets},
    )


INTERVALS: Final = {"evaluate": ("means.csv", "mean"), "localize": ("headline.csv", "metric")}
"""Table in metrics/STAGE/B with the intervals of metrics/STAGE/B.json, and its key column."""


def read_headline(metrics: Path, stage: str, name: str) -> dict[str, Any]:
    """Read metrics/STAGE/NAME.json, and add the ends of its intervals from a table.

    `dvc metrics diff` would list ends in the JSON file as metrics.

    Args:
        metrics: the folder.
        stage: evaluate or localize.
        name: of the network or ensemble.

    Raises:
        UserError: a file is missing or damaged.
    """
    numbers: dict[str, Any] = read_numbers(metrics / stage / f"{name}.json", *HEADLINE[stage])
    file, key = INTERVALS[stage]
    rows = read_csv(metrics / stage / name / file, {key: "text", "low": "any", "high": "any"})
    ends = rows.set_index(key)[["low", "high"]]
    if stage == "evaluate":  # no mean, so not in means.csv
        findings = _table(metrics / stage / name / "findings.csv", "findings").set_index("finding")
        no_finding = findings.reindex([NO_FINDING])[["auroc_low", "auroc_high"]].to_numpy()[0]
        ends.loc["no_finding_auroc"] = no_finding
    for metric in set(numbers) & set(ends.index):
        low, high = ends.loc[metric]
        numbers |= {f"{metric}_low": low, f"{metric}_high": high}
    return numbers


def _table(path: Path, name: str) -> pd.DataFrame:
    return read_csv(path, {column: "any" for column in COLUMNS[name]})


def _check(paths: list[Path]) -> None:
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise FileNotFoundError(f"no {', '.join(missing)}; make them with `dvc repro`")


EVALUATE_METRICS: Final = (
    *(f"{MACRO}_{measure.name}" for measure in MEASURES if measure.summary),
    "no_finding_auroc",
    "findings_scored",
)
TTA_METRICS: Final = tuple(
    f"{MACRO}_{measure.name}{suffix}"
    for measure in MEASURES
    if measure.compared
    for suffix in (WITHOUT_TTA, TTA_DIFFERENCE)
)
"""More metrics of networks that are scored with test-time augmentation."""

LOCALIZE_METRICS: Final = (
    "mean_accuracy_iobb_t10",
    "mean_accuracy_iobb_t50",
    "mean_false_boxes_iobb_t10",
    "mean_pointing",
    "controls_beaten_iobb_t10",
    "controls_beaten_pointing",
    "boxed_images",
)
"""Metrics of the summary. `dvc metrics diff` would list the ends of intervals as metrics, so they
are in tables, see :data:`INTERVALS`."""


def summarise(results: Results) -> dict[str, Any]:
    """Return metrics/summary.json: numbers by backbone, and those of the baseline on test."""
    groups = {
        name: {
            **{f"test_{key}": results.evaluate[name][key] for key in EVALUATE_METRICS},
            **{f"test_{k}": v for k, v in results.evaluate[name].items() if k in TTA_METRICS},
            "validation_macro_auroc": results.evaluate[name]["validation_macro_auroc"],
            **{f"boxes_{key}": results.localize[name][key] for key in LOCALIZE_METRICS},
        }
        for name in results.backbones
    }
    floor = {f"test_{key}": results.baseline["test"].get(key) for key in EVALUATE_METRICS}
    return {
        **groups,
        "baseline": {key: value for key, value in floor.items() if value is not None},
        **results.source.flags,
    }


BASELINE: Final = "baseline"
LEGEND: Final = (
    "AUROC, average precision (AP) and F1 are means over the findings, with 95 % intervals by "
    "patient; No Finding is its AUROC; boxes: share of boxed findings hit at that IoBB by a box of "
    "any heat threshold (pooled); false boxes: boxes per pair that are no hit at IoBB > .1."
)


TTA_LEGEND: Final = (
    "Networks are scored with test-time augmentation. Without it, and with minus without (95 % "
    "interval, the same patients resampled; * excludes 0)"
)
TTA_LABELS: Final = {"macro_auroc": "AUROC", "macro_average_precision": "AP", "macro_f1": "F1"}


def headlines(results: Results) -> dict[str, dict[str, Any]]:
    """Return headline metrics with intervals by model; the baseline is last."""
    networks = {
        name: {
            **{f"test_{key}": value for key, value in results.evaluate[name].items()},
            **{f"boxes_{key}": value for key, value in results.localize[name].items()},
        }
        for name in results.backbones
    }
    return networks | {BASELINE: {f"test_{key}": v for key, v in results.baseline["test"].items()}}


def ordered(results: Results) -> list[tuple[str, dict[str, Any]]]:
    """Return the headlines sorted by test macro AUROC, highest first; the baseline is last."""

    def sort_key(item: tuple[str, dict[str, Any]]) -> tuple[bool, float]:
        name, numbers = item
        return name == BASELINE, -(numbers.get("test_macro_auroc") or 0)

    return sorted(headlines(results).items(), key=sort_key)


def legend(results: Results) -> str:
    """Return the legend of the columns, with remarks.

    They are the number of findings per mean if it differs, the scores without test-time
    augmentation if there is any, and the networks whose initial weights have seen test images.
    """
    remarks = (remark(results) for remark in (_findings_scored, _without_tta, _seen_test_images))
    return " ".join([LEGEND, *filter(None, remarks)])


NO_TEST: Final = (
    "started from published weights that were trained on images of NIH's official test list, so "
    "that scores on these are no test"
)


def _seen_test_images(results: Results) -> str | None:
    """Return the networks that started from weights of training on NIH's test images."""
    names = [name for name, numbers in results.evaluate.items() if numbers.get(SAW_TEST_IMAGES)]
    return f"{', '.join(names)}: {NO_TEST}." if names else None


def tta_remark(numbers: Mapping[str, Any]) -> str | None:
    """Return the means without test-time augmentation, and with it minus without; None if unused.

    Args:
        numbers: metrics of a network, with the ends of their intervals.
    """
    if f"{MACRO}_auroc{WITHOUT_TTA}" not in numbers:
        return None
    cells = []
    for measure, label in TTA_LABELS.items():
        without, difference = (f"{measure}{suffix}" for suffix in (WITHOUT_TTA, TTA_DIFFERENCE))
        value, low, high = (numbers.get(f"{difference}{end}") for end in ENDS)
        paired = format_difference(value, low, high)
        cells.append(f"{label} {format_number(numbers[without])}, {paired}")
    return "; ".join(cells)


def _without_tta(results: Results) -> str | None:
    """Return the remarks on test-time augmentation of all networks in a sentence."""
    remarks = {name: tta_remark(numbers) for name, numbers in results.evaluate.items()}
    listed = "; ".join(f"{name} {remark}" for name, remark in remarks.items() if remark)
    return f"{TTA_LEGEND}: {listed}." if listed else None


def _findings_scored(results: Results) -> str | None:
    counts = {
        name: numbers["test_findings_scored"]
        for name, numbers in headlines(results).items()
        if "test_findings_scored" in numbers
    }
    if len(set(counts.values())) < 2:
        return None
    listed = ", ".join(f"{name} {count}" for name, count in counts.items())
    return f"Not over the same number of findings: {listed}."


def sample(results: Results) -> str:
    """Return the numbers of test images, their patients, and boxed images."""
    numbers = results.evaluate[results.best]
    counts = (boxes["boxed_images"] for boxes in results.localize.values())
    boxed = next(count for count in counts if count is not None)  # not every row is localised
    images, patients = numbers["images"], numbers["patients"]
    return f"n: {images:,} images of {patients:,} patients, {boxed:,} boxed images"
