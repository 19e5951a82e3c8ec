"""Effect of relabelling: single networks, ensembles and CheXNeXt on phantoms with wrong labels.

    dvc repro patient-split preprocess pretrained@alexnet && python benchmarks/chexnext.py
    python benchmarks/chexnext.py --quick            (one seed, a third of the epochs)

For each seed the true labels of train and val are made wrong at the rates of chexnext/params.yaml.
Compared on the **true** labels of test, by macro AUROC and AP over the findings:

- `single`: one network on the wrong labels; `ensemble`: the average of several;
- `chexnext`: the average of as many networks on labels that members rewrote as chexnext/dvc.yaml
  does it. Cross-fitted: each member leaves out a fold and relabels that alone. Plain, as in the
  paper: the members are the ensemble above, and relabel what they learnt. (No subset is selected.)
- `true labels`: an ensemble on the true labels, an upper bound.

Differences are from `ensemble`, on the same resamples of patients, means over the seeds; the range
over seeds stands beside the interval. Networks are kept in .scratch/chexnext under the hash of
params, data and arguments, so that an interrupted run continues.
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import typer
from _chexnext_arms import MODES, Workshop, arms, truth
from rich.console import Console
from rich.table import Table

from cxr14.config.chexnext import read_recipe
from cxr14.console import format_number, signed
from cxr14.datasets.records import PHANTOM_NOTE, read_source
from cxr14.evaluation.predictions import Logits, logit_of_mean
from cxr14.io import sha256, write_csv
from cxr14.labels import FINDINGS, label_matrix
from cxr14.metrics.auroc import Floats, weighted_auroc_and_ap
from cxr14.metrics.bootstrap import SEED, draw_replicates, interval
from cxr14.metrics.intervals import mean_over
from cxr14.preprocessing.cache import ARRAY, INDEX
from cxr14.training.distributed import InterruptedTrainingError

MEASURES = ("AUROC", "AP")
REFERENCE = "ensemble"
SCRATCH = Path(".scratch/chexnext")


def key_of(*arguments: object) -> str:
    """Return a hash of everything that determines the networks, except the code."""
    files = (Path("chexnext/params.yaml"), Path("params.yaml"), Path("data/split/split.parquet"))
    files += (Path("data/records/images.parquet"), Path("data/cache", INDEX))
    files += (Path("data/cache", ARRAY),)
    text = repr(arguments) + "".join(sha256(path) for path in files)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def resampled(logits_of_arm: dict[str, list[Logits]]) -> dict[str, Floats]:
    """Return macro AUROC and AP of each arm on test, (2, 1 + R): all images, then resamples.

    A resample that cannot score every finding that the images themselves can is NaN.
    """
    records, test = truth()
    labels = label_matrix(records.images)[test]
    patients = records.images["patient"].to_numpy()[test]
    replicates, findings = draw_replicates(patients, np.random.default_rng(SEED)), len(FINDINGS)
    means = {}
    for name, members in logits_of_arm.items():
        logits = logit_of_mean(members)[test]
        areas = weighted_auroc_and_ap(labels[:, :findings], logits[:, :findings], *replicates)
        means[name] = np.array([mean_over(values) for values in areas])
    return means


def rows(values: list[dict[str, Floats]]) -> pd.DataFrame:
    """Compare the arms: values of each seed by arm, (2, 1 + R)."""
    table = []
    for name in values[0]:
        scores = np.stack([seed[name] for seed in values])  # (seeds, 2, 1 + R)
        differences = scores - np.stack([seed[REFERENCE] for seed in values])
        for index, measure in enumerate(MEASURES):
            low, high, _ = interval(differences[:, index, 1:].mean(axis=0))
            by_seed = differences[:, index, 0]
            row = {"arm": name, "measure": measure, "value": scores[:, index, 0].mean()}
            row |= {"difference": by_seed.mean(), "low": low, "high": high}
            table.append(row | {"seed_low": by_seed.min(), "seed_high": by_seed.max()})
    return pd.DataFrame(table)


def laid_out(table: pd.DataFrame, title: str) -> Table:
    """Lay out the comparison, a row per arm."""
    laid_out_table = Table("networks", *(f"{m} (from {REFERENCE})" for m in MEASURES), title=title)
    for arm, arm_rows in table.groupby("arm", sort=False):
        cells = []
        for row in arm_rows.itertuples():
            difference = f" {signed(row.difference)} ({signed(row.low)} to {signed(row.high)}); "
            seeds = f"{signed(row.seed_low)} to {signed(row.seed_high)}"
            cells.append(
                format_number(row.value) + ("" if arm == REFERENCE else difference + seeds)
            )
        laid_out_table.add_row(str(arm), *cells)
    laid_out_table.caption = "95 % interval, patients resampled; then the range over the seeds"
    return laid_out_table


def main(
    quick: bool = False,
    backbone: str = "alexnet",
    networks: int = 3,
    seeds: str = "14,15,16",
    epochs: int = 0,
    modes: str = ",".join(MODES),
) -> None:
    """Train missing networks, compare, print, and write .scratch/chexnext/KEY/outcome-MODES.csv."""
    if not read_source().phantom:
        raise SystemExit("error: this is for phantoms, whose truth is known (data.source: phantom)")
    chosen = modes.split(",")
    if unknown := sorted(set(chosen) - set(MODES)):
        raise SystemExit(f"error: --modes: {', '.join(unknown)}; choose from {', '.join(MODES)}")
    seed_list = [int(seed) for seed in seeds.split(",")][: 1 if quick else None]
    if quick and not epochs:
        epochs = max(1, read_recipe(backbone, 0).epochs // 3)
    folder = SCRATCH / key_of(backbone, networks, epochs)
    values = []
    for seed in seed_list:
        workshop = Workshop(folder / str(seed), backbone, networks, epochs or None)
        values.append(resampled(arms(workshop, seed, chosen)))
    table = rows(values)
    write_csv(folder / f"outcome-{'-'.join(chosen)}.csv", table)
    description = f"{networks} × {backbone}, seeds {', '.join(map(str, seed_list))}; {PHANTOM_NOTE}"
    console = Console()
    console.width = max(console.width, 150)
    console.print(laid_out(table, f"Test by its true labels: {description}"))


if __name__ == "__main__":
    try:
        typer.run(main)
    except InterruptedTrainingError as interruption:
        raise SystemExit(f"{interruption}") from None
