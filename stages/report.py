"""Summarize the scores of all backbones: metrics in git, terminal tables, pictures, an HTML report.

Reads metrics/baseline.json, metrics/eda.json, metrics/evaluate, metrics/localize, metrics/compare,
metrics/external, tables in plots/compare and plots/eda, data/cache, data/records, data/split,
localization and predictions of the chosen backbone, params.yaml; for the cards models/B/model.json,
evaluation/B, metrics/patient_split.json and metrics/preprocess.json.
Writes plots/eda/NAME.png (the study's figures 1–7), plots/compare/subgroups.png,
metrics/summary.json, report/index.html, report/summary.txt (the printed tables and sentences), and
report/cards: a model card of each backbone and a data card of the source, as .md and .html.
On real pixels, scores are compared with published results, each with its split.
"""

from pathlib import Path

from cxr14.config.blocks import read_data, read_train
from cxr14.config.external import read_external
from cxr14.config.localize import read_localize
from cxr14.console import print_tables, tables_as_text
from cxr14.figures import eda
from cxr14.figures.subgroups import write_picture
from cxr14.io import read_json, write_metrics, write_text
from cxr14.report.cards import read_facts, write_cards
from cxr14.report.page import read_and_render
from cxr14.report.summary import Results, read_results, summarise
from cxr14.report.terminal import published_table, sentence_list, summary_table
from cxr14.report.terminal_external import external_summary
from stages import run

NEXT = """Where to look next:
  report/index.html                 the page (open it in a browser)
  report/cards/                     a card of each model, and of the data
  make ui                           MLflow: runs, curves, the registered model
  metrics/                          every number, in JSON and CSV
  plots/localize/BACKBONE           ground-truth and detected boxes"""


def main() -> None:
    """Write the summary, the pictures and the report, and print the tables."""
    sets = read_external().sets
    results = read_results(Path(), read_train().backbones, sets=[*sets])
    note = results.source.caution
    draw_figures(results)
    write_metrics("metrics/summary.json", summarise(results))
    write_text("report/index.html", read_and_render(Path(), results, read_localize()))
    write_cards(results, read_facts(Path(), results.backbones, read_data().mapping))
    tables = [table for table in (summary_table(results, note), published_table(results)) if table]
    tables += [external_summary(results, name) for name in sets]
    print_tables(*tables)
    listed = sentence_list(results)
    print(listed)
    write_text("report/summary.txt", f"{tables_as_text(*tables)}\n{listed}\n\n{NEXT}\n")


def draw_figures(results: Results) -> None:
    """Draw the figures of the records and of the groups of patients."""
    numbers = read_json("metrics/eda.json", "train_val")["train_val"]
    eda.write_figures("plots/eda", numbers, results.source)
    write_picture("plots/compare/subgroups.png", results.tables["subgroups"], results.source)


if __name__ == "__main__":
    run(main, __doc__)
