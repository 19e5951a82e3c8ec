"""Images that lie loose in a folder: its own, those of its folders, and of theirs.

A user's folder is the user's own, so links in it are followed (data sets are often linked
together) if they end at a regular file, or at a folder that was not met before. Folders whose
name starts with a dot are passed by.
"""

import os
import stat
from collections.abc import Iterator
from errno import ENOENT
from pathlib import Path

from cxr14.data.archives.refusals import Report, is_image, name_fault, size_fault

DEPTH = 3
"""Folders below the base that are looked into: archive/images_001/images."""


def files_below(base: Path, report: Report) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Yield (path relative to the base, entry) of all that is no folder, real folders first."""
    yield from _below(base, "", DEPTH, {_identity(base.stat())}, report)


def _below(
    folder: Path, prefix: str, depth: int, seen: set[tuple[int, int]], report: Report
) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: (entry.is_symlink(), entry.name))
    except OSError as error:
        report.refuse("", prefix, f"cannot be read ({error.strerror})")
        return
    for entry in listed:
        name = f"{prefix}{entry.name}"
        if not _is_folder(entry):
            yield name, entry
        elif depth and not entry.name.startswith("."):
            identity = _identity(entry.stat())
            if identity not in seen:
                seen.add(identity)
                yield from _below(folder / entry.name, f"{name}/", depth - 1, seen, report)


def _identity(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: no folder, and refused as a file
        return False


def loose_images(base: Path, report: Report) -> list[tuple[str, int]]:
    """List (member, bytes) of the loose images, sorted by member; the report gets the refusals."""
    found = []
    for name, entry in files_below(base, report):
        if is_image(name):
            size, fault = _facts(entry)
            fault = name_fault(name) or fault
            if fault:
                report.refuse("", name, fault)
            else:
                found.append((name, size))
    return sorted(found)


def _facts(entry: "os.DirEntry[str]") -> tuple[int, str | None]:
    """Return bytes, and why the file is refused, or None."""
    try:
        facts = entry.stat()
    except OSError as error:
        return 0, f"cannot be read ({error.strerror})"
    if not stat.S_ISREG(facts.st_mode):
        return 0, "a device or another special file"
    return facts.st_size, size_fault(facts.st_size)


def read_loose(base: Path, members: list[str], report: Report) -> Iterator[tuple[str, bytes]]:
    """Yield (member, content) of loose images; one that cannot be read is refused by name."""
    for member in members:
        path = base / member
        try:
            if not path.is_file():  # opening a pipe would wait for ever
                raise FileNotFoundError(ENOENT, "no such file")
            content = path.read_bytes()
        except OSError as error:
            report.refuse("", member, f"cannot be read ({error.strerror})")
        else:
            yield member, content
            report.advance(len(content))
