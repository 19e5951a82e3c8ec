"""Experiments in DVC's queue: enqueue, wait, look up by name.

An experiment belongs to the commit it was queued on, HEAD.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

from ablation.plan import Experiment
from cxr14.errors import UserError

TARGET = "evaluate"
"""Last stage to run: without heatmaps, report and model registry."""

PATIENCE = 60.0
"""Seconds without a worker until an error; a worker needs some to start."""

LAST_LINES = 15
STATES = ("Queued", "Running", "Failed")


class Task(NamedTuple):
    """An experiment in the queue: its state (one of STATES) and revision."""

    state: str
    revision: str


def call(root: Path, *command: str) -> str:
    """Run a command in `root`; return its standard output.

    Raises:
        UserError: it failed; with the end of its standard error.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # the workers call dvc
    # Files, not pipes: a worker inherits pipes, and the command would last as long as the worker.
    with TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr:
        done = subprocess.run(
            command, cwd=root, env=os.environ | {"PATH": path}, stdout=stdout, stderr=stderr
        )
        for file in (stdout, stderr):
            file.seek(0)
        if done.returncode:
            reason = stderr.read().strip()[-500:]
            raise UserError(f"`{' '.join(command)}` failed: {reason}")
        return stdout.read()


def head(root: Path) -> str:
    """Return the commit that experiments start from, HEAD.

    Raises:
        UserError: tracked files differ from it.
    """
    changed = call(root, "git", "status", "--porcelain", "--untracked-files=no")
    if changed:
        raise UserError(
            f"the work tree differs from HEAD (`git status`; {changed.split()[1]} first), and an "
            "experiment is identified by its commit; commit or stash the changes"
        )
    return call(root, "git", "rev-parse", "HEAD").strip()


def finished(root: Path, commit: str) -> dict[str, str]:
    """Return the successful experiments of a commit: their commits by name."""
    folder = f"refs/exps/{commit[:2]}/{commit[2:]}/"
    listed = call(root, "git", "for-each-ref", "--format=%(objectname) %(refname)", folder)
    pairs = (line.split() for line in listed.splitlines())
    return {ref.removeprefix(folder): revision for revision, ref in pairs}


def status(root: Path, commit: str) -> tuple[dict[str, Task], bool]:
    """Return the tasks of a commit by name, and whether a worker of the queue runs.

    By `dvc queue status`, as dvc.api.exp_show fails when an experiment ends while it reads.
    """
    output = _queue_status(root)
    rows = [line.split() for line in output.splitlines()]
    rows = [words for words in rows if words and words[-1] in STATES]
    parents = call(root, "git", "rev-parse", *(f"{revision}^" for revision, *_ in rows)).split()
    tasks = {
        name: Task(words[-1], revision)
        for (revision, name, *words), parent in zip(rows, parents, strict=True)
        if parent == commit
    }
    return tasks, "Worker status: 0 active, 0 idle" not in output


def _queue_status(root: Path) -> str:
    """Return the output of `dvc queue status`.

    DVC fails if git has collected the commit of a task that ended long ago; these are then removed
    from the queue, the failed ones only if need be.
    """
    for ended in ("--success", "--failed"):
        try:
            return call(root, "dvc", "queue", "status")
        except UserError as error:
            if "Invalid commit" not in str(error):
                raise
            call(root, "dvc", "queue", "remove", ended)
    return call(root, "dvc", "queue", "status")


def enqueue(root: Path, commit: str, experiments: Sequence[Experiment]) -> int:
    """Queue experiments that are new, failed or orphaned; return their number."""
    done, (tasks, has_worker), added = finished(root, commit), status(root, commit), 0
    for experiment in experiments:
        name, task = experiment.name, tasks.get(experiment.name)
        orphaned = task and task.state == "Running" and not has_worker
        if name in done or (task and task.state != "Failed" and not orphaned):
            continue
        if task and orphaned:  # its worker was killed, or the machine went down
            call(root, "dvc", "queue", "kill", task.revision)
        if task:
            call(root, "dvc", "queue", "remove", task.revision)
        # One call each: a sweep (-S train.seed=1,2) numbers its experiments, and repeats them all.
        settings = [word for setting in experiment.settings for word in ("--set-param", setting)]
        call(root, "dvc", "exp", "run", "--queue", "--name", name, *settings, TARGET)
        added += 1
    return added


def wait(
    root: Path,
    commit: str,
    names: Sequence[str],
    on_change: Callable[[int, list[str]], None],
    pause: float = 10.0,
) -> list[str]:
    """Wait until each of the experiments has succeeded or failed.

    Args:
        root: of the repository.
        commit: of the experiments.
        names: of the experiments.
        on_change: called with the number of ended and the names of running experiments.
        pause: seconds between two queries.

    Returns:
        The names of those that failed.

    Raises:
        UserError: no worker is left, but experiments are.
    """
    last_worker = time.monotonic()
    while True:
        (tasks, has_worker), done = status(root, commit), finished(root, commit)
        states = {name: tasks[name].state if name in tasks else "" for name in set(names) - {*done}}
        failed = [name for name in names if states.get(name) == "Failed"]
        left = [name for name in names if name in states and name not in failed]
        on_change(len(names) - len(left), [name for name in left if states[name] == "Running"])
        if not left:
            return failed
        if has_worker:
            last_worker = time.monotonic()
        elif time.monotonic() - last_worker > PATIENCE:
            raise UserError(
                f"no worker of DVC's queue is left, but {len(left)} experiments are, first "
                f"{left[0]}; run the same command again (`dvc queue status` shows the queue)"
            )
        time.sleep(pause)


def last_output(root: Path, commit: str, name: str) -> str:
    """Return the last output lines of a failed experiment."""
    try:
        log = call(root, "dvc", "queue", "logs", status(root, commit)[0][name].revision)
    except UserError as error:
        log = str(error)
    return "\n".join(log.strip().splitlines()[-LAST_LINES:])
