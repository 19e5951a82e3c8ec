"""Summarize the scores of all backbones: metrics in git, terminal tables, an HTML report.

Reads metrics/baseline.json, metrics/evaluate, metrics/localize, metrics/compare, plots/compare,
plots/eda, plots/localize, data/records/source.json, params.yaml (train.backbones).
Writes metrics/summary.json, report/index.html. On real pixels, scores are compared with published
results, each with its split.
"""

from pathlib import Path
from typing import Annotated

import typer

from cxr14.config.blocks import read_train
from cxr14.console import print_tables
from cxr14.io import write_metrics, write_text
from cxr14.report.page import render
from cxr14.report.summary import read_results, summarise
from cxr14.report.terminal import published_table, summary_table
from stages import run

NEXT = """Where to look next:
  report/index.html                 the page (open it in a browser)
  make ui                           MLflow: runs, curves, the registered model
  metrics/                          every number, in JSON and CSV
  plots/localize/BACKBONE           ground-truth and detected boxes"""


def main(
    show: Annotated[bool, typer.Option("--show", help="Only print the tables.")] = False,
) -> None:
    """Write the summary and the report, and print the tables."""
    results = read_results(Path(), read_train().backbones)
    note = results.source.caution
    if not show:
        write_metrics("metrics/summary.json", summarise(results))
        write_text("report/index.html", render(results, note, Path("plots")))
    published = published_table(results)
    print_tables(summary_table(results, note), *([published] if published else []))
    typer.echo(NEXT)


if __name__ == "__main__":
    run(main, __doc__)
