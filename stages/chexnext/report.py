"""Gather the scores: single networks, the members' average and the ensemble, in one table.

    python -m stages.chexnext.report

Reads chexnext/metrics/evaluate, chexnext/metrics/localize, data/records/source.json,
metrics/baseline.json, chexnext/params.yaml (members, students).
Writes chexnext/metrics/summary.json.
"""

from pathlib import Path
from typing import Any

from rich.console import Console

from cxr14.chexnext.places import ENSEMBLE, MEMBERS, ROOT, SINGLES, STUDENTS, places
from cxr14.files import read_json, write_metrics
from cxr14.params.chexnext.networks import read_members, read_students
from cxr14.report.summary import EVALUATED, LOCALIZED, caution
from cxr14.report.terminal import table
from stages import run


def main() -> None:
    """Run the stage."""
    source = read_json("data/records/source.json")
    members, students = read_members(), read_students()
    several = places(MEMBERS, members.backbones, members.seeds)
    several += places(STUDENTS, students.backbones, students.seeds)
    names = [*(own.title for own in several), MEMBERS, ENSEMBLE]
    groups = {name: group(name) for name in names}
    flags = {"phantom": int(source["phantom"]), "official_split": int(source["official_split"])}
    write_metrics(ROOT / "metrics/summary.json", groups | flags)
    Console().print(table(groups, caution(source)))


def group(name: str) -> dict[str, Any]:
    """Return what the summary says of one network; boxes are scored for some only."""
    root = ROOT if name in (MEMBERS, ENSEMBLE) else SINGLES
    files = (root / "metrics" / stage / f"{name}.json" for stage in ("evaluate", "localize"))
    scored, found = (read_json(path) if Path(path).exists() else {} for path in files)
    own = {f"test_{key}": scored.get(key) for key in EVALUATED}
    own["validation_macro_auroc"] = scored["validation_macro_auroc"]
    return own | {f"boxes_{key}": found[key] for key in LOCALIZED if key in found}


if __name__ == "__main__":
    run(main, __doc__)
