"""A real, small file system that can be filled, and one that is mounted read-only."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Mount a tmpfs on a new folder; skip where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs is not allowed here (it takes root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of a given size, such as 1m."""
    with mounted(folder, "-o", f"size={size}") as disk:
        yield disk


def fill(disk: Path) -> Path:
    """Write zeros until a file system is full; return their file, to be removed."""
    path = disk / "zeros"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return path


def make_read_only(disk: Path) -> None:
    """Mount a file system read-only; root, too, cannot write there."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
