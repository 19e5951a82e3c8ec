"""Summarize the scores of single networks, the members' average and the ensemble in a table.

Also draws a contact sheet of the most confident label changes.

    python -m stages.chexnext.report

Reads chexnext/metrics, chexnext/singles, chexnext/plots/relabel.csv, data/cache,
data/records/source.json, metrics/baseline.json, chexnext/params.yaml (members, students).
Writes chexnext/metrics/summary.json, chexnext/plots/relabel.png.
"""

from typing import Any

from cxr14.chexnext.paths import ENSEMBLE, MEMBERS, ROOT, SINGLES, STUDENTS, network_paths
from cxr14.config.chexnext import NetworksParams, read_members, read_students
from cxr14.console import print_tables
from cxr14.datasets.records import Source, read_source
from cxr14.figures.label_changes import CHANGES, draw_label_changes
from cxr14.io import read_csv, read_numbers, write_metrics
from cxr14.preprocessing.cache import open_cache, rows_of
from cxr14.report.summary import LOCALIZE_METRICS, Results, read_ends, summarise
from cxr14.report.terminal import summary_table
from stages import run


def main() -> None:
    """Run the stage."""
    members, students = read_members(), read_students()
    scored = [MEMBERS, *titles(MEMBERS, members)]
    localised = [ENSEMBLE, *titles(STUDENTS, students)]
    nothing = dict.fromkeys(LOCALIZE_METRICS)  # members are not localised
    results = Results(
        source=read_source(),
        baseline=read_numbers("metrics/baseline.json", "test"),
        evaluate={name: read(name, "evaluate") for name in scored + localised},
        localize=dict.fromkeys(scored, nothing) | {n: read(n, "localize") for n in localised},
        tables={},
        curves={},
    )
    write_metrics(ROOT / "metrics/summary.json", summarise(results))
    draw_relabelling(results.source)
    print_tables(summary_table(results, results.source.caution))


def draw_relabelling(source: Source) -> None:
    """Draw the label changes of chexnext/plots/relabel.csv with their images."""
    changes, (images, index) = read_csv(ROOT / "plots/relabel.csv", CHANGES), open_cache()
    pixels = images[rows_of(index, changes["image"])]
    draw_label_changes(ROOT / "plots/relabel.png", changes, pixels, source)


def titles(group: str, networks: NetworksParams) -> list[str]:
    """Name a group's networks as tables do."""
    return [network.title for network in network_paths(group, networks.backbones, networks.seeds)]


def read(name: str, stage: str) -> dict[str, Any]:
    """Read the metrics file of one row."""
    folder = (ROOT if name in (MEMBERS, ENSEMBLE) else SINGLES) / "metrics" / stage
    ends = read_ends(folder / name / "headline.csv") if stage == "localize" else {}
    return read_numbers(folder / f"{name}.json") | ends


if __name__ == "__main__":
    run(main, __doc__)
