"""Which stage makes a file, for errors that name the command to make it again."""

import re
from pathlib import Path

MADE_BY = (
    (r"data/params_checked\.txt", "check-params"),
    (r"data/outputs_checked\.json", "check-outputs"),
    (r"data/raw/(?:tables|archives)/.+", "download"),
    (
        r"data/(?:records|split)/.+|data/table_issues\.csv|metrics/patient_split\.json",
        "patient-split",
    ),
    (r"data/cache/.+|data/issues\.csv|metrics/preprocess\.json", "preprocess"),
    (r"data/pretrained/(?P<b>\w+)/.+", "pretrained@{b}"),
    (r"models/(?P<b>\w+)/.+|(?:metrics|plots)/train/(?P<c>\w+)\..+", "train@{b}"),
    (r"(?:predictions|evaluation)/(?P<b>\w+)[./].+", "evaluate@{b}"),
    (r"(?:metrics|plots)/evaluate/(?P<b>\w+)[./].+", "evaluate@{b}"),
    (r"(?:localization|(?:metrics|plots)/localize)/(?P<b>\w+)[./].+", "localize-iobb@{b}"),
    (r"(?:metrics|plots)/compare/.+", "compare"),
    (r"(?:metrics/|plots/)eda[./].+", "eda"),
    (r"(?:metrics|plots)/baseline[./].+", "baseline"),
    (r"metrics/summary\.json|report/.+", "report"),
    (r"chexnext/.+", "chexnext/dvc.yaml"),
)
"""Patterns of paths in the repository, and what `dvc repro` takes to make them."""


def made_by(path: str | Path) -> str | None:
    """Return the target of `dvc repro` that makes a file; None if no stage of ours does.

    >>> made_by("models/alexnet/model.json")
    'train@alexnet'
    """
    try:
        inside = Path(path).absolute().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return None
    for pattern, target in MADE_BY:
        if match := re.fullmatch(pattern, inside):
            return target.format(b=next(filter(None, match.groups()), ""))
    return None


def remedy(path: str | Path) -> str:
    """Say how to restore a file, after a semicolon; nothing if no stage makes it."""
    if ".scratch" in Path(path).parts:
        return "; remove it, and its work is done again"
    target = made_by(path)
    return f"; restore it with `dvc repro {target}`" if target else ""
