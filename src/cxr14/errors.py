"""Errors that the user can fix, and how a command reports them in one sentence."""

import errno
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

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


GRAPH = Path(__file__).resolve().parents[2] / "dvc.yaml"
MATRIX_ITEM = re.compile(r"\$\{item\.\w+\}")  # in an output of a stage with a matrix


def producing_stage(path: str | Path) -> str | None:
    """Return the target of `dvc repro` that writes a file; None if no stage does.

    >>> producing_stage("models/alexnet/model.json")
    'train@alexnet'
    """
    try:
        inside = Path(path).absolute().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return None
    for pattern, target in _output_patterns():
        if match := re.fullmatch(pattern, inside):
            return target.format(*match.groups())
    return None


@cache
def _output_patterns() -> list[tuple[str, str]]:
    """Return what :func:`_patterns_of` finds in dvc.yaml; read when the first error is printed."""
    import yaml

    try:
        return _patterns_of(yaml.safe_load(GRAPH.read_text(encoding="utf-8")))
    except Exception:  # whatever is wrong with dvc.yaml, the error that is printed is another one
        return []


def _patterns_of(graph: Any) -> list[tuple[str, str]]:
    """List a pattern for each output of a graph, and the target that writes it."""
    patterns = [("chexnext/.+", "chexnext/dvc.yaml")]
    for name, stage in graph["stages"].items():
        items = "-".join(["{}"] * len(stage.get("matrix", ())))
        target = f"{name}@{items}" if items else name
        outputs = [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
        for output in outputs:
            file = output if isinstance(output, str) else next(iter(output))
            fixed_parts = map(re.escape, MATRIX_ITEM.split(file))
            patterns.append((r"([\w:-]+)".join(fixed_parts) + "(?:/.*)?", target))
    return patterns


def remedy(path: str | Path) -> str:
    """Return how to restore a file, after a semicolon; empty if no stage writes it."""
    if ".scratch" in Path(path).parts:
        return "; remove it, and its work is done again"
    target = producing_stage(path)
    return f"; restore it with `dvc repro {target}`" if target else ""
