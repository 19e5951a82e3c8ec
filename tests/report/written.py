"""A project's results as the other stages write them, small, with numbers easy to recognise."""

from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from cxr14.datasets.records import Source, write_source
from cxr14.io import write_csv, write_metrics
from cxr14.labels import BOXED, CLASSES
from cxr14.report.page import EDA
from cxr14.report.summary import INTERVALS
from tests.report.images import write_images

AREAS = {"alexnet": 0.72, "resnet50": 0.81}
"""AUROC by backbone, of every finding but Hernia; the worse one first."""

LIMITS = {"iobb": (0.1, 0.25, 0.5, 0.75, 0.9), "iou": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)}
CONTROLS = ("random", "centre_gaussian", "mean_box")
HALF, FULL = 0.515, 0.995  # accuracy of every other boxed finding


def ends(name: str, value: float | None) -> dict[str, float | None]:
    """A score and the ends of its interval."""
    low, high = (None, None) if value is None else (value - 0.02, value + 0.02)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def evaluated(area: float, phantom: bool) -> dict[str, Any]:
    """The headline numbers of evaluate."""
    scores = {f"{kind}_auroc": area for kind in ("macro", "micro", "weighted")}
    scores |= {"macro_average_precision": 0.315, "macro_f1": 0.285, "no_finding_auroc": 0.665}
    flat: dict[str, Any] = {"images": 236, "patients": 142, "findings_scored": 13}
    flat |= scores
    flat |= {"macro_brier": 0.2, "macro_brier_platt": 0.1, "macro_ece": 0.3, "macro_ece_platt": 0.1}
    return (
        flat
        | {"findings_with_f1": 13, "validation_macro_auroc": area - 0.04}
        | {"phantom": int(phantom)}
    )


def write_intervals(folder: Path | str, numbers: dict[str, Any], file: str, key: str) -> None:
    """The table of a JSON file's intervals: metrics/evaluate/B/means.csv and its like."""
    scores = {name: value for name, value in numbers.items() if isinstance(value, float)}
    rows = [{key: n, "value": v, "low": v - 0.02, "high": v + 0.02} for n, v in scores.items()]
    write_csv(Path(folder, file), pd.DataFrame(rows))


def findings(area: float, classes: tuple[str, ...]) -> pd.DataFrame:
    """metrics/evaluate/B/findings.csv; Hernia has no positives."""
    rows = []
    for name in classes:
        known = name != "Hernia"
        row: dict[str, Any] = {"finding": name, "images": 236, "positives": 41 if known else 0}
        row |= {"negatives": 195, "prevalence": 0.174, "threshold": 0.44}
        for measure in ("average_precision", "f1", "precision", "recall", "specificity"):
            row |= ends(measure, 0.335 if known else None)
        row |= ends("auroc", (0.665 if name == "No Finding" else area) if known else None)
        for kind in ("", "_platt", "_temperature"):
            row |= {f"brier{kind}": 0.137, f"ece{kind}": 0.057, f"ece{kind}_chance": 0.043}
        row |= {"auroc_delong_low": 0.703, "auroc_delong_high": 0.905, "dropped_replicates": 0.0}
        rows.append(row | {"reason": None if known else "no positives in test"})
    return pd.DataFrame(rows)


def means(area: float) -> pd.DataFrame:
    """metrics/evaluate/B/means.csv."""
    numbers = evaluated(area, phantom=True)
    values = {name: value for name, value in numbers.items() if name.startswith("macro_")}
    rows = [
        {"mean": name, "value": value, "low": value - 0.02, "high": value + 0.02}
        for name, value in values.items()
    ]
    return pd.DataFrame(rows)


def boxes(classes: tuple[str, ...]) -> pd.DataFrame:
    """metrics/localize/B/accuracy.csv; every other finding is always hit."""
    rows = []
    for measure, limits in LIMITS.items():
        for limit in limits:
            for heat in ("60", "180", "pooled"):
                for place, name in enumerate((*BOXED, "mean")):
                    n = None if name not in (*classes, "mean") else 11
                    hit = None if n is None else (FULL if place % 2 else HALF)
                    row = {
                        "measure": measure,
                        "overlap_threshold": limit,
                        "heat_threshold": heat,
                        "finding": name,
                    }
                    rows.append(
                        {**row, "n_pairs": n, **ends("accuracy", hit), **ends("afp", 1.275)}
                    )
    return pd.DataFrame(rows)


def controls(accuracy: pd.DataFrame) -> pd.DataFrame:
    """metrics/localize/B/controls.csv: the method again, then what the controls reach."""
    reached = accuracy.assign(accuracy=0.105, accuracy_low=0.095, accuracy_high=0.115)
    reached = reached.assign(difference=0.31, difference_low=-0.01, difference_high=0.63)
    tables = [accuracy.assign(method="gradcam")]
    tables += [reached.assign(method=name, afp=3.125) for name in CONTROLS]
    return pd.concat(tables)


def crossfitted(accuracy: pd.DataFrame) -> pd.DataFrame:
    """metrics/localize/B/crossfit.csv."""
    rows = accuracy[accuracy["heat_threshold"] == "pooled"].drop(columns="heat_threshold")
    return rows.assign(chosen_threshold=120, chosen_share=0.75, accuracy=0.645)


def randomised() -> pd.DataFrame:
    """metrics/localize/B/sanity_check.csv: alike while some weights are left, then no longer."""
    alike = {
        "randomized_layers": ["prediction", "network"],
        "n_pairs": [32, 31],
        "n_constant": [0, 1],
        "unchanged": [1, 0],
    }
    return pd.DataFrame(
        {**alike, "similarity": [0.875, 0.125], "similarity_threshold": 0.5, "reason": ""}
    )


def pointing() -> pd.DataFrame:
    """metrics/localize/B/pointing.csv."""
    return pd.DataFrame(
        [
            {"method": method, "finding": name, "n_pairs": 11}
            | ends("pointing", 0.455)
            | ends("energy", 0.235)
            | ends("pointing_difference", None if method == "gradcam" else 0.215)
            | ends("energy_difference", None if method == "gradcam" else 0.005)
            for method in ("gradcam", *CONTROLS)
            for name in (*BOXED, "mean")
        ]
    )


LOCALIZED: dict[str, Any] = {
    **dict.fromkeys(
        ("mean_accuracy_iobb_t10", "mean_accuracy_iobb_t50", "mean_accuracy_iou_t10"), 0.495
    ),
    **{"mean_false_boxes_iobb_t10": 1.275, "mean_pointing": 0.455, "mean_energy": 0.235},
    "crossfit_mean_accuracy_iobb_t10": 0.545,
    "crossfit_mean_false_boxes_iobb_t10": 0.915,
}
"""The means of localize, which have intervals."""


def headline() -> pd.DataFrame:
    """metrics/localize/B/headline.csv."""
    table = pd.DataFrame(LOCALIZED.items(), columns=["metric", "value"])
    return table.assign(low=table["value"] - 0.02, high=table["value"] + 0.02)


def pixels(phantom: bool) -> pd.DataFrame:
    """metrics/localize/B/pixels.csv; only phantoms have masks."""
    keys = [("pointing", None), ("energy", None), ("iou", 60), ("iou", 180)]
    return pd.DataFrame(
        [
            {"method": method, "measure": measure, "heat_threshold": heat, "finding": name}
            | {"n_pairs": 44 if phantom else 0, **ends("value", 0.385 if phantom else None)}
            | ends("difference", None)
            for method in ("gradcam", "random", "centre_gaussian", "mean_mask")
            for measure, heat in keys
            for name in ("Edema", "Mass", "mean")
        ]
    )


def localized(phantom: bool) -> dict[str, Any]:
    """The headline numbers of localize."""
    flat: dict[str, Any] = {"boxed_images": 73, "boxed_images_without_pixels": 7}
    flat |= {"boxed_pairs": 88, "findings_scored": 8, "sanity_check_similarity": 0.125}
    flat |= {"controls_beaten_iobb_t10": 1, "controls_beaten_pointing": 3}
    return flat | LOCALIZED | {"phantom": int(phantom)}


def write_backbone(root: Path, name: str, phantom: bool, classes: tuple[str, ...]) -> None:
    """Write what evaluate and localize leave of one backbone."""
    metrics, area = root / "metrics", AREAS.get(name, 0.6)
    headlines = {"evaluate": evaluated(area, phantom), "localize": localized(phantom)}
    for stage, flat in headlines.items():
        write_metrics(metrics / stage / f"{name}.json", flat)
        write_intervals(metrics / stage / name, flat, *INTERVALS[stage])
    write_csv(metrics / "evaluate" / name / "findings.csv", findings(area, classes))
    write_csv(metrics / "evaluate" / name / "means.csv", means(area))
    accuracy = boxes(classes)
    tables = {
        "accuracy": accuracy,
        "controls": controls(accuracy),
        "headline": headline(),
        "pointing": pointing(),
        "pixels": pixels(phantom),
        "crossfit": crossfitted(accuracy),
        "sanity_check": randomised(),
    }
    for table, rows in tables.items():
        write_csv(metrics / "localize" / name / f"{table}.csv", rows)


def gaps(backbones: list[str]) -> pd.DataFrame:
    """metrics/compare/gaps.csv: women against men, macro and Mass; old against the rest, nulls."""
    rows = []
    for name in backbones:
        sex = {"attribute": "sex", "group": "F", "reference": "M", "images": 100}
        age = {"attribute": "age", "group": "80+", "reference": "the rest", "images": 3}
        crossed = {"attribute": "sex × age", "group": "F × 60–79", "reference": "the rest"}
        for finding, key, auroc in (
            ("macro", sex, -0.05),
            ("Mass", sex, 0.01),
            ("macro", age, None),
            ("macro", crossed | {"images": 40}, 0.155),
        ):
            row = {"backbone": name, **key, "finding": finding, "images_reference": 136}
            row |= {"patients": 60, "patients_reference": 82}
            row |= ends("auroc", auroc) | ends("fpr", 0.005) | ends("fnr", None)
            row |= ends("mean_predicted_minus_prevalence", 0.0)
            rows.append(row | {"findings": 13, "reason": None if auroc else "3 positives"})
    return pd.DataFrame(rows)


def write_comparison(root: Path, backbones: list[str], phantom: bool) -> None:
    """Write what compare leaves: differences, groups, adjudicated labels, curves, the picture."""
    folder, plots = root / "metrics/compare", root / "plots/compare"
    pair = {"model_a": "alexnet", "model_b": "resnet50", "images": 236, "patients": 142}
    rows = [
        {**pair, "measure": measure, "difference": -0.09, "low": -0.14, "high": high}
        for measure, high in (("macro_auroc", -0.04), ("macro_average_precision", 0.01))
    ]
    write_csv(folder / "differences.csv", pd.DataFrame(rows))
    write_csv(folder / "gaps.csv", gaps(backbones))
    groups = gaps(backbones).assign(positives=None)
    write_csv(
        folder / "subgroups.csv",
        groups.drop(columns=["reference", "images_reference", "patients_reference"]),
    )
    scored = {
        **ends("auroc_adjudicated", None if phantom else 0.845),
        **ends("auroc_mined", None if phantom else 0.825),
        **ends("difference", None if phantom else 0.035),
        "reason": "simulated pixels show no reader's findings" if phantom else None,
    }
    label = {"label": "Pneumothorax", "mapped_from": "Pneumothorax", "images": 0, "positives": 0}
    label |= {"positives_mined": 0, "patients_with": 0, "patients_with_mined": 0}
    write_csv(
        folder / "adjudicated.csv",
        pd.DataFrame([{"backbone": b, **label, **scored} for b in backbones]),
    )
    points = {
        "roc": ("false_positive_rate", "true_positive_rate"),
        "pr": ("recall", "precision"),
        "reliability": ("predicted", "observed"),
        "threshold_f1": ("threshold", "f1"),
    }
    for name, (x, y) in points.items():
        line = pd.DataFrame({x: [0.0, 0.5, 1.0], y: [0.0, 0.75, 1.0]})
        curves = [line.assign(backbone=b, finding=f) for b in backbones for f in ("macro", "Mass")]
        write_csv(plots / f"{name}.csv", pd.concat(curves))
    save_png(plots / "subgroups.png")


def save_png(path: Path) -> None:
    """Write a tiny picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4)).save(path)


def write_results(root: Path, source: Source, classes: tuple[str, ...] = CLASSES) -> list[str]:
    """Write all that the report reads; return the backbones."""
    backbones, phantom = list(AREAS), source.phantom
    write_source(source, root / "data/records/source.json")
    test = {"macro_auroc": 0.5, "macro_average_precision": 0.1, "macro_f1": 0.0}
    write_metrics(
        root / "metrics/baseline.json", {"test": {**test, "findings_scored": 14, "images": 7}}
    )
    for name in backbones:
        write_backbone(root, name, phantom, classes)
        save_png(root / "plots/localize" / name / "Mass.png")
    for name in EDA:
        save_png(root / f"plots/eda/{name}.png")
    write_comparison(root, backbones, phantom)
    write_images(root, backbones)
    return backbones
