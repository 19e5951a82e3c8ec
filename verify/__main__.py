"""Check after a run that dvc.lock, metrics and plots are the committed ones.

    python -m verify                             (make verify, after make repro)

Otherwise lists what differs from git's HEAD and why, and exits with 1. Files of the second pipeline
are compared too.
"""

import json
import platform
import subprocess
from pathlib import Path
from typing import Any

import typer
import yaml

from cxr14.config.blocks import read_numerics
from cxr14.errors import UserError
from cxr14.numerics import has_avx2
from verify.cpus import processor
from verify.differences import Lock, differences

LOCKS = ("dvc.lock", "chexnext/dvc.lock")
RESULTS = (*LOCKS, "metrics", "plots", "chexnext/metrics", "chexnext/plots")
SHOWN = 20
"""Maximum number of files that are listed."""


def main() -> None:
    """Check, and print the result."""
    stale = stale_stages()
    if stale:
        raise UserError(f"{len(stale)} stages are not up to date, first {stale[0]}; run make repro")
    changed = changed_files()
    if not changed:
        print(f"dvc.lock, metrics and plots are the committed ones ({here()})")
        return
    for line in [*explanations(changed), *listed(changed)]:
        print(line)
    raise SystemExit(1)


def stale_stages() -> list[str]:
    """Return the stages of dvc.yaml that DVC would run again."""
    status: dict[str, Any] = json.loads(call("dvc", "status", "--json", "dvc.yaml"))
    return list(status)


def changed_files() -> list[str]:
    """Return the files of results that differ from HEAD, or that it lacks."""
    differing = call("git", "diff", "--name-only", "-z", "HEAD", "--", *RESULTS)
    new = call("git", "ls-files", "--others", "--exclude-standard", "-z", "--", *RESULTS)
    return sorted({*differing.split("\0"), *new.split("\0")} - {""})


def explanations(changed: list[str]) -> list[str]:
    """Return a line per stage that is a cause, and one for the stages that follow."""
    lines = [f"this run: {here()}"]
    for lock in LOCKS:
        if lock not in changed:
            continue
        found = [*differences(committed(lock), stages_of(Path(lock).read_text()))]
        lines += [f"{each.stage}: {each.reason}" for each in found if each.is_cause]
        followers = [each.stage for each in found if not each.is_cause]
        if followers:
            lines.append(f"{len(followers)} stages after them: {', '.join(followers)}")
    return lines


def listed(changed: list[str]) -> list[str]:
    """Return the changed files, indented, at most SHOWN of them."""
    lines = [f"{len(changed)} files differ from HEAD:", *(f"  {path}" for path in changed[:SHOWN])]
    return lines + ([f"  and {len(changed) - SHOWN} more"] if len(changed) > SHOWN else [])


def here() -> str:
    """Return the numerics, the processor and the Python of this run in words."""
    avx2 = "" if has_avx2() else ", not known to have AVX2"
    return f"numerics: {read_numerics()}, {processor()}{avx2}, Python {platform.python_version()}"


def committed(lock: str) -> Lock:
    """Return the stages of a lock in HEAD; none if HEAD lacks it."""
    known = call("git", "ls-tree", "--name-only", "HEAD", "--", lock).strip()
    return stages_of(call("git", "show", f"HEAD:{lock}")) if known else {}


def stages_of(text: str) -> Lock:
    """Return the stages of a dvc.lock."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    stages: Lock = (yaml.load(text, loader) or {}).get("stages", {})
    return stages


def call(*command: str) -> str:
    """Run a command in the working directory; return its output.

    Raises:
        UserError: it failed; the message is the last line of its errors.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise UserError(f"`{' '.join(command[:3])}` failed: {reason}")
    return done.stdout


if __name__ == "__main__":
    try:
        typer.run(main)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
