"""The summary: a few numbers per backbone, from the metrics of the other stages."""

from typing import Any, Final

from cxr14.report.results import Results
from cxr14.wording import PHANTOM_NOTE

EVALUATED: Final = (
    "macro_auroc",
    "macro_auroc_low",
    "macro_auroc_high",
    "macro_average_precision",
    "macro_f1",
    "no_finding_auroc",
    "findings_scored",
)
LOCALIZED: Final = (
    "mean_accuracy_iobb_t10",
    "mean_accuracy_iobb_t10_low",
    "mean_accuracy_iobb_t10_high",
    "mean_accuracy_iobb_t50",
    "mean_pointing",
    "boxed_images",
)
"""Of both: the other intervals stand in metrics/evaluate and metrics/localize, so that what
`dvc metrics diff` lists of a backbone fits a screen."""


def summarise(results: Results) -> dict[str, Any]:
    """Return metrics/summary.json: numbers only, one group per backbone and one for the baseline.

    The floor of the baseline is its ``test``; the groups are in the order of the backbones.
    """
    groups = {
        name: {
            **{f"test_{key}": results.evaluate[name][key] for key in EVALUATED},
            "validation_macro_auroc": results.evaluate[name]["validation_macro_auroc"],
            **{f"boxes_{key}": results.localize[name][key] for key in LOCALIZED},
        }
        for name in results.backbones
    }
    floor = {f"test_{key}": results.baseline["test"].get(key) for key in EVALUATED}
    return {
        **groups,
        "baseline": {key: value for key, value in floor.items() if value is not None},
        "phantom": int(results.phantom),
        "official_split": int(results.source["official_split"]),
    }


def caution(source: dict[str, Any]) -> str:
    """Return the sentence that has to stand above every table of this source."""
    if source["phantom"]:
        return f"{PHANTOM_NOTE[0].upper()}{PHANTOM_NOTE[1:]}."
    split = "the official split" if source["official_split"] else "a split of our own, by patient"
    return f"Source {source['source']}, {split}; not comparable with figures on another split."
