"""Ablation of loss weighting and pooling over all arms and seeds.

    python -m ablation --backbones alexnet,googlenet --seeds 14,15,16 --jobs 1

Weighting none, batch, class with average pooling; pooling max, lse with batch weights. The source,
the epochs and the rest are those of params.yaml, as committed. Queues missing experiments, runs
them, compares. An interrupted run continues; failed experiments are repeated.

Reads: params.yaml; the experiments' results, from DVC's cache

Writes: experiments (`dvc exp list`); .scratch/ablation/outcome.csv, .png, .json, .md
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ablation import queue, show
from ablation.collect import collect
from ablation.outcome import outcome
from ablation.picture import forest
from ablation.plan import Experiment, plan
from cxr14.config.blocks import read_train
from cxr14.console import progress
from cxr14.errors import UserError, quote
from cxr14.figures.style import export
from cxr14.io import write_json, write_text
from cxr14.models.backbones import check_backbone
from stages import run

STEM = Path(".scratch/ablation/outcome")
ROOT = Path()
TITLE = "Weighting of the loss, and pooling"


def main(
    backbones: Annotated[str, typer.Option(help="With commas between.")] = "alexnet,googlenet",
    seeds: Annotated[str, typer.Option(help="Of training, with commas between.")] = "14,15,16",
    jobs: Annotated[int, typer.Option(help="Experiments at once.", min=1)] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="A third of the epochs.")] = False,
) -> None:
    """Queue the experiments, wait for them, compare them, print a table."""
    names, numbers = backbones.split(","), parse_seeds(seeds)
    for name in names:
        check_backbone(name, "--backbones")
    experiments = plan(read_train(), names, numbers, quick)
    console = Console()
    revisions = run_experiments(experiments, jobs, console)
    with console.status("comparing"):
        ground_truth, predictions = collect(ROOT, revisions, names)
        table = outcome(ground_truth, predictions, experiments, names)
    facts = ground_truth.facts() | {"seeds": numbers, "quick": quick, "experiments": revisions}
    caption = ground_truth.source.label(show.legend(facts), "{1}; {0}")
    marks = f"line: 95 %; open: lowest and highest of {len(numbers)} seeds"
    export(STEM, table, forest, TITLE, ground_truth.source.label(marks, "{1}; {0}"))
    write_text(STEM.with_suffix(".md"), show.markdown(table, TITLE, caption))
    write_json(STEM.with_suffix(".json"), facts | {"caption": caption})
    console.print(show.terminal(table, TITLE, caption))
    console.print(f"written: {STEM}.csv, .png, .md, .json")


def parse_seeds(text: str) -> list[int]:
    """Parse a comma-separated list of seeds.

    Raises:
        UserError: one is no whole number of at most 18 digits.
    """
    words = text.split(",")
    if not all(word.isdecimal() and len(word) < 19 for word in words):
        raise UserError(
            f"--seeds is {quote(text)}; whole numbers with commas between, such as 14,15,16, of at "
            f"most 18 digits"
        )
    return [int(word) for word in words]


def run_experiments(experiments: list[Experiment], jobs: int, console: Console) -> dict[str, str]:
    """Run missing experiments; return the commits of all by name.

    Raises:
        UserError: some failed; gives their names and last output.
    """
    commit = queue.head(ROOT)
    names = [experiment.name for experiment in experiments]
    with progress("runs", console=console) as bar:
        task = bar.add_task("queueing", total=len(names))

        def on_change(ended: int, running: list[str]) -> None:
            bar.update(task, completed=ended, description=", ".join(running) or "waiting")

        queue.enqueue(ROOT, commit, experiments)
        if set(names) - set(queue.finished(ROOT, commit)):
            queue.call(ROOT, "dvc", "queue", "start", "--jobs", str(jobs))
        failed = queue.wait(ROOT, commit, names, on_change)
        failures = [f"{name}:\n{queue.last_output(ROOT, commit, name)}" for name in failed]
    if failures:
        raise UserError(
            "\n\n".join([f"{len(failures)} of {len(names)} experiments failed", *failures])
        )
    done = queue.finished(ROOT, commit)
    return {name: done[name] for name in names}


if __name__ == "__main__":
    run(main, __doc__)
