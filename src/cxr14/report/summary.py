"""The summary: a few numbers per backbone, from the metrics of the other stages."""

from pathlib import Path
from typing import Any

from cxr14.files import read_json
from cxr14.wording import PHANTOM_NOTE

EVALUATED = (
    "macro_auroc",
    "macro_auroc_low",
    "macro_auroc_high",
    "macro_average_precision",
    "macro_f1",
    "findings_scored",
)
LOCALIZED = (
    "mean_accuracy_iobb_t10",
    "mean_accuracy_iobb_t10_low",
    "mean_accuracy_iobb_t10_high",
    "mean_accuracy_iobb_t50",
    "boxed_images",
)


def read_metrics(folder: Path, backbones: list[str]) -> dict[str, dict[str, Any]]:
    """Read metrics/evaluate/B.json and metrics/localize/B.json of every backbone.

    Returns:
        For each backbone, in their order, {"evaluate": {...}, "localize": {...}}.

    Raises:
        FileNotFoundError: a backbone has not been evaluated or localized.
    """
    found: dict[str, dict[str, Any]] = {}
    for backbone in backbones:
        paths = {name: folder / name / f"{backbone}.json" for name in ("evaluate", "localize")}
        missing = [str(path) for path in paths.values() if not path.exists()]
        if missing:
            raise FileNotFoundError(f"no {' and '.join(missing)}; make them with `dvc repro`")
        found[backbone] = {name: read_json(path) for name, path in paths.items()}
    return found


def summarise(
    metrics: dict[str, dict[str, Any]], baseline: dict[str, Any], source: dict[str, Any]
) -> dict[str, Any]:
    """Return metrics/summary.json: numbers only, one group per backbone and one for the baseline.

    Args:
        metrics: see read_metrics.
        baseline: metrics/baseline.json; its `test` is the floor.
        source: data/records/source.json.
    """
    groups = {
        backbone: {
            **{f"test_{key}": own["evaluate"][key] for key in EVALUATED},
            "test_no_finding_auroc": (own["evaluate"]["no_finding"] or {}).get("auroc"),
            "validation_macro_auroc": own["evaluate"]["validation"]["macro_auroc"],
            **{f"boxes_{key}": own["localize"][key] for key in LOCALIZED},
        }
        for backbone, own in metrics.items()
    }
    floor = {f"test_{key}": baseline["test"].get(key) for key in EVALUATED}
    return {
        **groups,
        "baseline": {key: value for key, value in floor.items() if value is not None},
        "phantom": int(source["phantom"]),
        "official_split": int(source["official_split"]),
    }


def caution(source: dict[str, Any]) -> str:
    """Return the sentence that has to stand above every table of this source."""
    if source["phantom"]:
        return f"{PHANTOM_NOTE[0].upper()}{PHANTOM_NOTE[1:]}."
    split = "the official split" if source["official_split"] else "a split of our own, by patient"
    return f"Source {source['source']}, {split}; not comparable with figures on another split."
