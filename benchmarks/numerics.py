"""What `numerics: portable` costs: images per second in training, next to `fast`.

    python benchmarks/numerics.py

Both take turns, each in a process of its own, as the environment counts when torch is imported. An
epoch of noise at the sizes of params.yaml is repeated for some seconds. `fast` has the threads and
the instructions of the machine. Prints the medians over the rounds, and the ratio.
"""

import json
import os
import statistics
import subprocess
import sys
import time

import typer
from rich.console import Console
from rich.table import Table

from cxr14.numerics import set_environment

BACKBONES = ("alexnet", "densenet121")
MODES = ("portable", "fast")


def main(rounds: int = 5, seconds: float = 10.0, measure: str = "") -> None:
    """Measure one backbone and print its rate, or all of them in turns and print the table."""
    if measure:
        print(json.dumps(rate(measure, seconds)))
        return
    table = Table("backbone", *(f"{mode}, images/s" for mode in MODES), "portable / fast")
    for backbone in BACKBONES:
        rates: dict[str, list[float]] = {mode: [] for mode in MODES}
        for _ in range(rounds):
            for mode in MODES:
                rates[mode].append(measured(mode, backbone, seconds))
        medians = [statistics.median(rates[mode]) for mode in MODES]
        ratios = [a / b for a, b in zip(*rates.values(), strict=True)]
        table.add_row(backbone, *(f"{m:.1f}" for m in medians), f"{statistics.median(ratios):.2f}")
    Console().print(table)


def measured(mode: str, backbone: str, seconds: float) -> float:
    """Return the rate in a new process."""
    command = [sys.executable, __file__, f"--measure={backbone}", f"--seconds={seconds}"]
    environment = os.environ | {"NUMERICS": mode}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def rate(backbone: str, seconds: float) -> float:
    """Return images per second of training, after an epoch that is not counted."""
    set_environment(os.environ["NUMERICS"])
    from _loop import make_network, our_epoch
    from train import make_part

    from cxr14.config.blocks import read_train
    from cxr14.models.inference import resolve_compute

    recipe = read_train().for_backbone(backbone)
    part = make_part(4 * recipe.batch_size, recipe.input_size, "cpu")
    compute = resolve_compute("cpu", "fp32", backbone)
    epoch = our_epoch(make_network(backbone), part, recipe, compute)
    epoch()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        epoch()
        count += len(part.labels)
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    typer.run(main)
