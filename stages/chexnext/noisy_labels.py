"""Add label noise to phantoms, at the error rates of mined labels.

On real images the mined labels are copied without a change.

    python -m stages.chexnext.noisy_labels

Reads data/records, data/split, chexnext/params.yaml (noise).
Writes chexnext/data/labels.parquet, chexnext/metrics/noise.json and noise/findings.csv.
"""

import numpy as np
import typer

from cxr14.chexnext.label_noise import add_noise, check_labelled, count_noise
from cxr14.chexnext.paths import LABELS, ROOT
from cxr14.config.chexnext import read_noise
from cxr14.console import print_tables
from cxr14.datasets.records import (
    read_records,
    read_source,
    read_split,
    write_result,
    write_table,
)
from cxr14.io import write_parquet
from cxr14.labels import FINDINGS
from cxr14.report.terminal import noise_table
from stages import check_all_params, run


def main() -> None:
    """Run the stage."""
    check_all_params(chexnext=True)
    params, source = read_noise(), read_source()
    true = read_records()
    check_labelled(true)
    split = read_split()
    splits = np.where(true["has_pixels"], split["split"], "no pixels")
    labels = true
    if source.phantom:
        rates = {name: (params.of(name).missed, params.of(name).wrong) for name in FINDINGS}
        labels = add_noise(true, splits, rates, params.seed)
    counts = count_noise(true, labels, splits)
    write_parquet(LABELS, labels)
    write_table(ROOT / "metrics/noise/findings.csv", counts, source)
    sums = {f"labels_{name}": int(counts[name].sum()) for name in ("missed", "wrong")}
    total = {"positives": int(counts["positives"].sum())}
    write_result(ROOT / "metrics/noise.json", total | sums, source)
    if source.phantom:
        print_tables(noise_table(counts, source))
    else:
        typer.echo("real images: their labels are mined and stay as they are; no noise is added")


if __name__ == "__main__":
    run(main, __doc__)
