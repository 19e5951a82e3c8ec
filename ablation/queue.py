"""Experiments in DVC's queue: enqueue, wait, look up by name.

An experiment belongs to the commit it was queued on, HEAD. Successful experiments have a git ref;
the others are messages in DVC's queue.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

from dvc.repo import Repo

from ablation.plan import Experiment
from cxr14.errors import UserError

TARGET = "evaluate"
"""Last stage to run: without heatmaps, report and model registry."""

PATIENCE = 60.0
"""Seconds without a worker until an error; a worker needs some to start."""

LAST_LINES = 15


class Task(NamedTuple):
    """An experiment in the queue: its state (queued, running, failed), its revision in DVC."""

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
            "experiment is known by its commit; commit the changes, or put them away"
        )
    return call(root, "git", "rev-parse", "HEAD").strip()


def finished(root: Path, commit: str) -> dict[str, str]:
    """Return the successful experiments of a commit: their commits by name."""
    folder = f"refs/exps/{commit[:2]}/{commit[2:]}/"
    listed = call(root, "git", "for-each-ref", "--format=%(objectname) %(refname)", folder)
    pairs = (line.split() for line in listed.splitlines())
    return {ref.removeprefix(folder): revision for revision, ref in pairs}


def tasks(repo: Repo, commit: str) -> dict[str, Task]:
    """Return the tasks of a commit by name, read in the order of their states to miss none."""
    queue = repo.experiments.celery_queue
    stages = (
        ("queued", queue.iter_queued()),
        ("running", queue.iter_active()),
        ("failed", (done.entry for done in queue.iter_failed())),
    )
    return {
        entry.name: Task(state, entry.stash_rev)
        for state, entries in stages
        for entry in entries
        if entry.baseline_rev == commit
    }


def enqueue(root: Path, repo: Repo, commit: str, experiments: Sequence[Experiment]) -> int:
    """Queue experiments that are new, failed or orphaned; return their number."""
    done, known = finished(root, commit), tasks(repo, commit)
    queue, added = repo.experiments.celery_queue, 0
    for experiment in experiments:
        name, task = experiment.name, known.get(experiment.name)
        orphaned = task and task.state == "running" and not queue.worker_status()
        if name in done or (task and task.state != "failed" and not orphaned):
            continue
        if task and orphaned:  # its worker was killed, or the machine went down
            call(root, "dvc", "queue", "kill", task.revision)
        if task:
            call(root, "dvc", "queue", "remove", task.revision)
        settings = [word for setting in experiment.settings for word in ("--set-param", setting)]
        call(root, "dvc", "exp", "run", "--queue", "--name", name, *settings, TARGET)
        added += 1
    return added


def wait(
    root: Path,
    repo: Repo,
    commit: str,
    names: Sequence[str],
    on_change: Callable[[int, list[str]], None],
    pause: float = 5.0,
) -> list[str]:
    """Wait until none of the experiments is queued or running.

    Args:
        root: of the repository.
        repo: the same repository.
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
        known = tasks(repo, commit)
        done = finished(root, commit)
        states = {name: known[name].state for name in names if name in known and name not in done}
        left = [name for name, state in states.items() if state != "failed"]
        on_change(len(names) - len(left), [name for name in left if states[name] == "running"])
        if not left:
            return [name for name in names if name not in done]
        if repo.experiments.celery_queue.worker_status():
            last_worker = time.monotonic()
        elif time.monotonic() - last_worker > PATIENCE:
            raise UserError(
                f"no worker of DVC's queue is left, but {len(left)} experiments are, first "
                f"{left[0]}; run the same command again (`dvc queue status` shows the queue)"
            )
        time.sleep(pause)


def last_output(root: Path, repo: Repo, commit: str, name: str) -> str:
    """Return the last output lines of a failed experiment."""
    task = tasks(repo, commit).get(name)
    if task is None:
        return "it left neither results nor a task; see .dvc/tmp/exps/celery/*.out"
    try:
        log = call(root, "dvc", "queue", "logs", task.revision)
    except UserError as error:
        log = str(error)
    return "\n".join(log.strip().splitlines()[-LAST_LINES:])
