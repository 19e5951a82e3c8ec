"""Image files of a folder, up to DEPTH levels deep.

Links are followed if they end at a regular file, or at a folder that was not visited before.
Folders whose name starts with a dot are not entered. A folder that is not entered is an issue.
"""

import os
import stat
from collections.abc import Iterator
from errno import ENOENT
from pathlib import Path

from cxr14.datasets.archive_kinds import (
    Fault,
    Report,
    is_archive_name,
    is_image,
    name_fault,
    size_fault,
)

DEPTH = 8
"""Folders below the base that are entered; archive/images_001/images is three."""

Entry = os.DirEntry[str]


def files_below(base: Path, report: Report) -> Iterator[tuple[str, Entry]]:
    """Yield (path relative to the base, entry) of all that is no folder, real folders first.

    The report gets the folders that are not entered.
    """
    yield from _below(base, "", DEPTH, {_identity(base.stat())}, report)


def _below(
    folder: Path, prefix: str, depth: int, visited: set[tuple[int, int]], report: Report
) -> Iterator[tuple[str, Entry]]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: (entry.is_symlink(), entry.name))
    except OSError as error:
        report.add("", prefix or str(folder), unreadable(error))
        return
    for entry in listed:
        name = f"{prefix}{entry.name}"
        if not is_folder(entry):
            yield name, entry
        elif fault := _folder_fault(entry, depth, visited):
            report.add("", f"{name}/", fault)
        elif depth and not entry.name.startswith("."):
            yield from _below(folder / entry.name, f"{name}/", depth - 1, visited, report)


def _folder_fault(entry: Entry, depth: int, visited: set[tuple[int, int]]) -> Fault | None:
    """Return why a folder with images is not entered, or None; add it to `visited`."""
    hidden = entry.name.startswith(".")
    if depth and not hidden:
        identity = _identity(entry.stat())
        if identity in visited:
            return "repeated folder", "a link to a folder that is listed under another name"
        visited.add(identity)
        return None
    count = _images_in(entry)
    if not count:
        return None
    if hidden:
        return "hidden folder", f"its name starts with a dot; {count} images or archives in it"
    return "too deep", f"over {DEPTH} folders deep; {count} images or archives in it"


def _images_in(entry: Entry) -> int:
    """Count the images and archives in a folder by their names; links are not followed."""
    if entry.is_symlink():
        return 0
    files = (name for _, _, names in os.walk(entry.path) for name in names)
    return sum(is_image(name) or is_archive_name(name) for name in files)


def _identity(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino


def is_folder(entry: Entry) -> bool:
    """Tell whether an entry is a folder; a link to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def loose_images(base: Path, report: Report) -> list[tuple[str, int]]:
    """List (member, bytes) of the images, sorted by member; unusable ones are issues."""
    images = []
    for name, entry in files_below(base, Report()):
        if is_image(name):
            size, fault = file_facts(entry)
            if fault := name_fault(name) or fault or size_fault(size):
                report.add("", name, fault)
            else:
                images.append((name, size))
    return sorted(images)


def file_facts(entry: Entry) -> tuple[int, Fault | None]:
    """Return bytes, and why the entry cannot be opened, or None."""
    try:
        facts = entry.stat()
    except OSError as error:
        return 0, unreadable(error)
    if not stat.S_ISREG(facts.st_mode):
        return 0, ("special file", "a device or another special file")
    return facts.st_size, None


def unreadable(error: OSError) -> Fault:
    """Return the fault of a file or folder that cannot be read."""
    return "unreadable", f"cannot be read ({error.strerror})"


def read_loose(base: Path, members: list[str], report: Report) -> Iterator[tuple[str, bytes]]:
    """Yield (member, content) of images in a folder; one that cannot be read is an issue."""
    for member in members:
        path = base / member
        try:
            if not path.is_file():  # opening a pipe would block
                raise FileNotFoundError(ENOENT, "no such file")
            content = path.read_bytes()
        except OSError as error:
            report.add("", member, unreadable(error))
        else:
            yield member, content
            report.advance(len(content))
