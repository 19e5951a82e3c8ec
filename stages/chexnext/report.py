"""Gather the scores: single networks, the members' average and the ensemble, in one table.

    python -m stages.chexnext.report

Reads chexnext/metrics, chexnext/singles, data/records/source.json, metrics/baseline.json,
chexnext/params.yaml (members, students).
Writes chexnext/metrics/summary.json.
"""

from pathlib import Path
from typing import Any

from cxr14.chexnext.places import ENSEMBLE, MEMBERS, ROOT, SINGLES, STUDENTS, places
from cxr14.chexnext.terminal import show
from cxr14.files import read_json, write_metrics
from cxr14.params.chexnext.networks import read_members, read_students
from cxr14.report.results import Results
from cxr14.report.summary import LOCALIZED, caution, summarise
from cxr14.report.terminal import table
from stages import run


def main() -> None:
    """Run the stage."""
    members, students = read_members(), read_students()
    several = places(MEMBERS, members.backbones, members.seeds)
    several += places(STUDENTS, students.backbones, students.seeds)
    names = [MEMBERS, ENSEMBLE, *(own.title for own in several)]
    boxed = read(ENSEMBLE, "localize")["boxed_images"]  # of all, also of those not localised
    nothing = dict.fromkeys(LOCALIZED) | {"boxed_images": boxed}
    results = Results(
        source=read_json("data/records/source.json"),
        baseline=read_json("metrics/baseline.json"),
        evaluate={name: read(name, "evaluate") for name in names},
        localize={name: nothing | read(name, "localize") for name in names},
        tables={},
        curves={},
    )
    write_metrics(ROOT / "metrics/summary.json", summarise(results))
    show(table(results, caution(results.source)))


def read(name: str, stage: str) -> dict[str, Any]:
    """Read a metrics file of one row; members are not localised, and have none."""
    root = ROOT if name in (MEMBERS, ENSEMBLE) else SINGLES
    path = Path(root / "metrics" / stage / f"{name}.json")
    return dict(read_json(path)) if path.exists() or stage == "evaluate" else {}


if __name__ == "__main__":
    run(main, __doc__)
