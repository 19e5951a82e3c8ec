"""Add label noise to phantoms, at the error rates of mined labels.

On real images the mined labels are copied without a change.

    python -m stages.chexnext.noisy_labels

Reads data/records, data/split, chexnext/params.yaml (noise).
Writes chexnext/data/labels.parquet, chexnext/metrics/noise.json and noise/findings.csv.
"""

import numpy as np
import typer

from cxr14.chexnext.label_noise import add_noise, count_noise
from cxr14.chexnext.paths import LABELS, ROOT
from cxr14.config.chexnext import read_noise
from cxr14.datasets.records import read_records, read_source, read_split
from cxr14.io import write_csv, write_metrics, write_parquet
from cxr14.labels import FINDINGS
from cxr14.report.summary_tables import noise_table, print_tables
from stages import check_all_params, run


def main() -> None:
    """Run the stage."""
    check_all_params(chexnext=True)
    params, phantom = read_noise(), bool(read_source()["phantom"])
    true = read_records()
    split = read_split()
    splits = np.where(true["has_pixels"], split["split"], "no pixels")
    labels = true
    if phantom:
        rates = {name: (params.of(name).missed, params.of(name).wrong) for name in FINDINGS}
        labels = add_noise(true, splits, rates, params.seed)
    counts = count_noise(true, labels, splits)
    write_parquet(LABELS, labels)
    write_csv(ROOT / "metrics/noise/findings.csv", counts.assign(phantom=int(phantom)))
    sums = {f"labels_{name}": int(counts[name].sum()) for name in ("missed", "wrong")}
    total = {"positives": int(counts["positives"].sum()), "phantom": int(phantom)}
    write_metrics(ROOT / "metrics/noise.json", total | sums)
    if phantom:
        print_tables(noise_table(counts))
    else:
        typer.echo("real images: their labels are mined and stay as they are; no noise is added")


if __name__ == "__main__":
    run(main, __doc__)
