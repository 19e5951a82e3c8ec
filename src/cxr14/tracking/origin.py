"""Which ``dvc exp`` a model in the work tree came from; only git remembers it."""

import re
import shutil
import subprocess
from pathlib import Path

from cxr14.tracking.experiments import BASELINE, NAME

_REF = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/(.+)")
"""Where DVC keeps an experiment: the commit it started from, and its name."""


def find_origin(backbone: str) -> dict[str, str]:
    """Find the experiment that trained the model in the work tree, by DVC's own records.

    Its dvc.lock holds this very model, and that of the commit it started from does not. Of
    several the oldest is taken.

    Returns:
        DVC_EXP_NAME and DVC_EXP_BASELINE_REV, as DVC would set them; empty if no experiment
        is known, or it was removed.
    """
    here = Path("dvc.lock")
    model = _model_in(here.read_text(), backbone) if here.exists() else None
    if model is None:
        return {}
    for ref in git_lines("for-each-ref", "--sort=creatordate", "--format=%(refname)", "refs/exps"):
        parts = _REF.fullmatch(ref)
        if parts is None:  # of DVC's own bookkeeping
            continue
        baseline = parts[1] + parts[2]
        if _locked(ref, backbone) == model != _locked(baseline, backbone):
            return {NAME: parts[3], BASELINE: baseline}
    return {}


def _locked(commit: str, backbone: str) -> str | None:
    return _model_in("\n".join(git_lines("show", f"{commit}:./dvc.lock")), backbone)


def _model_in(lock: str, backbone: str) -> str | None:
    """Return the hash of models/<backbone> that a dvc.lock names."""
    found = re.search(rf"path: models/{re.escape(backbone)}\n\s+hash: md5\n\s+md5: (\S+)", lock)
    return found[1] if found else None


def git_lines(*arguments: str) -> list[str]:
    """Return the lines that git prints; none if it fails, as outside of a repository."""
    if shutil.which("git") is None:
        return []
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []
