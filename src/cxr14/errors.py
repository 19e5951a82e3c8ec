"""Errors that the user can fix, and how a command reports them in one sentence."""

import errno
import os
import re
from pathlib import Path

QUOTED = 200
"""Characters of a user's text that an error quotes; the rest is cut and counted."""

LONG_WORD = re.compile(rf"\S{{{2 * QUOTED},}}")

FULL = (errno.ENOSPC, errno.EDQUOT)


class UserError(ValueError):
    """An error that the user can fix: what is wrong, where, what is allowed, what to do.

    Any other ValueError (of NumPy, pandas, torch) is a bug and keeps its traceback. It is a
    ValueError so that pydantic's validators may raise it.
    """


class MissingFileError(UserError):
    """A file of our own is not there: a stage has not run, or this is not the repository."""


def quote(value: object) -> str:
    """Return a value as an error shows it: escaped like a Python literal, at most QUOTED long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, a nest of lists
        return f"<{type(value).__name__} too large to show>"
    if len(text) <= QUOTED:
        return text
    return f"{text[:QUOTED]}… ({len(text)} characters)"


def explain(error: BaseException) -> str | None:
    """Return what to tell the user about an error, or None if it is a bug.

    An OSError (a file that is missing, locked or read-only, a full disk) comes from the machine
    and never from a wrong program state, so it counts as the user's.
    """
    if isinstance(error, UserError):
        return printable(str(error))
    if isinstance(error, OSError):
        return printable(_system_error(error))
    return None


def printable(text: str) -> str:
    """Escape control characters, which could move a terminal's cursor, and cut very long words.

    Newlines stay. A word is a text without spaces, such as a path; it may be a user's.
    """
    text = LONG_WORD.sub(lambda word: f"{word[0][:QUOTED]}… ({len(word[0])} characters)", text)
    return "".join(one if one == "\n" or one.isprintable() else repr(one)[1:-1] for one in text)


def _system_error(error: OSError) -> str:
    if error.errno is None:  # a sentence of ours or of a library
        return str(error)
    reason = error.strerror or os.strerror(error.errno)
    files = [str(name) for name in (error.filename, error.filename2) if name is not None]
    where = " -> ".join(files)
    if error.errno in FULL:
        return f"{full_disk(where or '.')} ({reason}{f': {where}' if where else ''})"
    return f"{where}: {reason}" if where else reason


def full_disk(path: str | Path) -> str:
    """Say which file system has no space left for a path, and what to do."""
    return (
        f"the file system {mount_point(path)} is full; free some space, then run the same "
        f"command again"
    )


def mount_point(path: str | Path) -> Path:
    """Return the mount point of the file system that holds a path, or would hold it."""
    place = Path(path).absolute()
    while not place.exists() or not place.is_mount():
        if place == place.parent:
            break
        place = place.parent
    return place
