"""Errors that the user can fix, and how a command reports them in one sentence."""

import errno
import os
import re
from pathlib import Path

QUOTED = 200
"""Maximum characters of a value in an error; the rest is cut and counted."""

LONG_WORD = re.compile(rf"\S{{{2 * QUOTED},}}")

FULL = (errno.ENOSPC, errno.EDQUOT)


class UserError(ValueError):
    """An error that the user can fix: what is wrong, where, the allowed values, the fix.

    Any other ValueError (of NumPy, pandas, torch) is a bug and keeps its traceback. It is a
    ValueError so that pydantic's validators may raise it.
    """


class MissingFileError(UserError):
    """A pipeline file is missing: a stage has not run, or this is not the repository."""


def quote(value: object) -> str:
    """Return a value for an error: escaped like a Python literal, at most QUOTED characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, a nest of lists
        return f"<{type(value).__name__} too large to show>"
    if len(text) <= QUOTED:
        return text
    return f"{text[:QUOTED]}… ({len(text)} characters)"


def explain(error: BaseException) -> str | None:
    """Return the message for a UserError or OSError; None if the error is a bug.

    An OSError (a file that is missing, locked or read-only, a full disk) is caused by the machine,
    not by the program.
    """
    if isinstance(error, UserError):
        return printable(str(error))
    if isinstance(error, OSError):
        return printable(_system_error(error))
    return None


def printable(text: str) -> str:
    """Escape control characters except newlines, and cut very long words, such as paths."""
    text = LONG_WORD.sub(lambda word: f"{word[0][:QUOTED]}… ({len(word[0])} characters)", text)
    return "".join(c if c == "\n" or c.isprintable() else repr(c)[1:-1] for c in text)


def _system_error(error: OSError) -> str:
    if error.errno is None:  # raised with a message only
        return str(error)
    reason = error.strerror or os.strerror(error.errno)
    files = [str(name) for name in (error.filename, error.filename2) if name is not None]
    where = " -> ".join(files)
    if error.errno in FULL:
        return f"{full_disk(where or '.')} ({reason}{f': {where}' if where else ''})"
    return f"{where}: {reason}" if where else reason


def full_disk(path: str | Path) -> str:
    """Return the message for a full file system, with the fix."""
    return (
        f"the file system {mount_point(path)} is full; free some space, then run the same "
        f"command again"
    )


def mount_point(path: str | Path) -> Path:
    """Return the mount point of the file system that holds a path, or would hold it."""
    mount = Path(path).absolute()
    while not mount.exists() or not mount.is_mount():
        if mount == mount.parent:
            break
        mount = mount.parent
    return mount


STAGE_PATTERNS = (
    (r"data/params_checked\.txt", "check-params"),
    (r"data/outputs_checked\.json", "check-outputs"),
    (r"data/raw/(?:tables|archives)/.+", "download"),
    (
        r"data/(?:records|split)/.+|data/table_issues\.csv|metrics/patient_split\.json",
        "patient-split",
    ),
    (r"data/cache/.+|data/issues\.csv|metrics/preprocess\.json", "preprocess"),
    (r"data/pretrained/(?P<b>\w+)/.+", "pretrained@{b}"),
    (r"models/(?P<b>\w+)/.+|(?:metrics|plots)/train/(?P<c>\w+)\..+", "train@{b}"),
    (r"(?:predictions|evaluation)/(?P<b>\w+)[./].+", "evaluate@{b}"),
    (r"(?:metrics|plots)/evaluate/(?P<b>\w+)[./].+", "evaluate@{b}"),
    (r"(?:localization|(?:metrics|plots)/localize)/(?P<b>\w+)[./].+", "localize-iobb@{b}"),
    (r"(?:metrics|plots)/compare/.+", "compare"),
    (r"(?:metrics/|plots/)eda[./].+", "eda"),
    (r"(?:metrics|plots)/baseline[./].+", "baseline"),
    (r"metrics/summary\.json|report/.+", "report"),
    (r"chexnext/.+", "chexnext/dvc.yaml"),
)
"""Patterns of paths in the repository, and the targets of `dvc repro` that write the files."""


def producing_stage(path: str | Path) -> str | None:
    """Return the target of `dvc repro` that writes a file; None if no stage does.

    >>> producing_stage("models/alexnet/model.json")
    'train@alexnet'
    """
    try:
        inside = Path(path).absolute().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return None
    for pattern, target in STAGE_PATTERNS:
        if match := re.fullmatch(pattern, inside):
            return target.format(b=next(filter(None, match.groups()), ""))
    return None


def remedy(path: str | Path) -> str:
    """Return how to restore a file, after a semicolon; empty if no stage writes it."""
    if ".scratch" in Path(path).parts:
        return "; remove it, and its work is done again"
    target = producing_stage(path)
    return f"; restore it with `dvc repro {target}`" if target else ""
