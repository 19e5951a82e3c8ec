"""Experiments in DVC's queue: put there once, waited for, found again by their names.

An experiment belongs to the commit it was queued on, HEAD. What has ended well has a git ref there;
the others are messages in DVC's own queue.
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
"""The last stage that is wanted: no heatmaps, no report, nothing in the model registry."""

PATIENCE = 60.0
"""Seconds without a worker after which the queue is given up: a worker needs some to start."""

LAST_LINES = 15


class Task(NamedTuple):
    """An experiment in the queue: queued, running or failed; its revision names it to DVC."""

    state: str
    revision: str


def call(root: Path, *command: str) -> str:
    """Run a command there; return what it says.

    Raises:
        UserError: it failed; with the end of its complaint.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # the workers call dvc
    # Not pipes: a worker inherits them, and the command would seem to last as long as it.
    with TemporaryFile("w+") as said, TemporaryFile("w+") as complained:
        done = subprocess.run(
            command, cwd=root, env=os.environ | {"PATH": path}, stdout=said, stderr=complained
        )
        for file in (said, complained):
            file.seek(0)
        if done.returncode:
            reason = complained.read().strip()[-500:]
            raise UserError(f"`{' '.join(command)}` failed: {reason}")
        return said.read()


def head(root: Path) -> str:
    """Return the commit that experiments start from.

    Raises:
        UserError: tracked files differ from it, so that it does not say what would be run.
    """
    changed = call(root, "git", "status", "--porcelain", "--untracked-files=no")
    if changed:
        raise UserError(
            f"the work tree differs from HEAD (`git status`; {changed.split()[1]} first), and an "
            "experiment is known by its commit; commit the changes, or put them away"
        )
    return call(root, "git", "rev-parse", "HEAD").strip()


def finished(root: Path, commit: str) -> dict[str, str]:
    """Return the experiments of a commit that ended well: names, and their own commits."""
    folder = f"refs/exps/{commit[:2]}/{commit[2:]}/"
    listed = call(root, "git", "for-each-ref", "--format=%(objectname) %(refname)", folder)
    pairs = (line.split() for line in listed.splitlines())
    return {ref.removeprefix(folder): revision for revision, ref in pairs}


def tasks(repo: Repo, commit: str) -> dict[str, Task]:
    """Return the tasks of a commit by name, in the order of their lives: none slips through."""
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
    """Queue what is neither done nor under way; failed and orphaned ones anew. Return how many."""
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
        repo: the same.
        commit: that they belong to.
        names: of the experiments.
        on_change: gets how many have ended, and the names of those that run.
        pause: seconds between two looks.

    Returns:
        The names of those that failed.

    Raises:
        UserError: the workers are gone, with experiments left.
    """
    seen = time.monotonic()
    while True:
        known = tasks(repo, commit)
        done = finished(root, commit)
        states = {name: known[name].state for name in names if name in known and name not in done}
        left = [name for name, state in states.items() if state != "failed"]
        on_change(len(names) - len(left), [name for name in left if states[name] == "running"])
        if not left:
            return [name for name in names if name not in done]
        if repo.experiments.celery_queue.worker_status():
            seen = time.monotonic()
        elif time.monotonic() - seen > PATIENCE:
            raise UserError(
                f"no worker of DVC's queue is left, but {len(left)} experiments are, first "
                f"{left[0]}; run the same command again (`dvc queue status` shows the queue)"
            )
        time.sleep(pause)


def complaint(root: Path, repo: Repo, commit: str, name: str) -> str:
    """Return the last lines that a failed experiment wrote."""
    task = tasks(repo, commit).get(name)
    if task is None:
        return "it left neither results nor a task; see .dvc/tmp/exps/celery/*.out"
    try:
        said = call(root, "dvc", "queue", "logs", task.revision)
    except UserError as error:
        said = str(error)
    return "\n".join(said.strip().splitlines()[-LAST_LINES:])
