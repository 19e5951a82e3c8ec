"""Gather every backbone's scores: a summary in git, a table on the terminal, a page.

Reads:  metrics/baseline.json, metrics/evaluate, metrics/localize, plots/eda, plots/localize,
data/records/source.json, params.yaml (train.backbones)

Writes: metrics/summary.json, report/index.html
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cxr14.files import read_json, write_metrics, write_text
from cxr14.params import train
from cxr14.report.page import render
from cxr14.report.summary import caution, read_metrics, summarise
from cxr14.report.terminal import table
from stages import run

SUMMARY = "metrics/summary.json"
NEXT = """Where to look next:
  report/index.html                 the page (open it in a browser)
  make ui                           MLflow: runs, curves, the registered model
  dvc metrics show                  every number
  plots/localize/BACKBONE           drawn and found boxes"""


def main(
    show: Annotated[bool, typer.Option("--show", help="Only print the table.")] = False,
) -> None:
    """Write summary and page, print the table."""
    source = read_json("data/records/source.json")
    note = caution(source)
    if show:
        summary = read_json(SUMMARY)
    else:
        backbones = train.read().backbones
        metrics = read_metrics(Path("metrics"), backbones)
        summary = summarise(metrics, read_json("metrics/baseline.json"), source)
        write_metrics(SUMMARY, summary)
        best = max(backbones, key=lambda name: summary[name]["test_macro_auroc"] or 0)
        figures = sorted(Path("plots/eda").glob("*.png"))
        overlays = sorted(Path("plots/localize", best).glob("*.png"))
        write_text("report/index.html", render(summary, metrics, note, figures, overlays))
    Console().print(table(summary, note))
    typer.echo(NEXT)


if __name__ == "__main__":
    run(main, __doc__)
