"""Score the naive baseline, which always predicts the most frequent class.

Command: `python -m stages.baseline`

Reads `data/records/images.parquet`, `data/records/source.json` and `data/split/split.parquet`.

Writes `plots/baseline/figure8.csv` (the study's Figure 8: ten classes on train-val) and
`metrics/baseline.json`: its averages, and under `test` the scores of constants on the test
images that have pixels.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich import print as show
from rich.table import Table

from cxr14.datasets.records import read_records, read_source, read_split
from cxr14.datasets.statistics import train_val, with_split
from cxr14.evaluation.baseline import OTHERS, figure8, multi_label_floor
from cxr14.io import write_csv, write_metrics
from cxr14.labels import label_matrix
from stages import run


def main() -> None:
    """Run the stage."""
    source = read_source()
    images = read_records()
    records = with_split(images, read_split())
    table, averages = figure8(label_matrix(train_val(records)))
    train = records[records["split"] == "train"]
    test = records[(records["split"] == "test") & records["has_pixels"]]
    floor = multi_label_floor(label_matrix(train), label_matrix(test))

    write_csv("plots/baseline/figure8.csv", table)
    write_metrics("metrics/baseline.json", source.flags | averages | {"test": floor})

    cut = "the official lists" if source.official_split else "our own cut by patient"
    heading = f"Figure 8: the most frequent class on train-val of {cut}"
    show(heading, figure8_table(table, averages))
    pixels = "phantom pixels, real labels" if source.phantom else "with pixels"
    show(f"Constant scores on {len(test):,} test images ({pixels}) of {cut}:")
    show({name: value for name, value in floor.items() if name.startswith("macro")})


def figure8_table(table: pd.DataFrame, averages: Mapping[str, Any]) -> Table:
    """Lay out Figure 8 with its averages for the terminal."""
    laid_out = Table("class")
    for heading in ("precision", "recall", "F1", "images"):
        laid_out.add_column(heading, justify="right")
    for name, precision, recall, f1, support in table.itertuples(index=False):
        numbers = (f"{number:.4f}" for number in (precision, recall, f1))
        laid_out.add_row(name, *numbers, f"{support:,}", end_section=name == OTHERS)
    for name in ("macro", "weighted"):
        numbers = (f"{number:.4f}" for number in averages[name].values())
        laid_out.add_row(f"{name} average", *numbers, f"{table['support'].sum():,}")
    laid_out.add_row("accuracy", "", "", f"{averages['accuracy']:.4f}", "")
    return laid_out


if __name__ == "__main__":
    run(main, __doc__)
