"""Archives that mean no good, built member by member."""

import io
import stat
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import IO

from cxr14.datasets.archive_kinds import Report
from cxr14.datasets.image_sources import iterate_container


class Zeros(io.RawIOBase):
    """A file of zeros that takes no memory."""

    def __init__(self, size: int) -> None:
        self.left = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        count = min(size if size >= 0 else self.left, self.left)
        self.left -= count
        return bytes(count)


def add(archive: tarfile.TarFile, name: str, content: bytes = b"x", **fields: object) -> None:
    """Add a member with any field of its header set as one likes."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    archive.addfile(member, io.BytesIO(content) if member.isreg() else None)


def add_zeros(archive: tarfile.TarFile, name: str, size: int) -> None:
    """Add a member of `size` zeros."""
    member = tarfile.TarInfo(name)
    member.size = size
    archive.addfile(member, Zeros(size))


def hostile_tar(path: Path, outside: Path, image: bytes) -> dict[str, str]:
    """Write a tar with every kind of member that is refused; return a word of each reason."""
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        add(archive, "images/good.png", image)
        add(archive, "images/link.png", b"", type=tarfile.SYMTYPE, linkname=str(outside))
        add(archive, "images/hard.png", b"", type=tarfile.LNKTYPE, linkname="images/good.png")
        add(archive, "images/device.png", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=5)
        add(archive, "images/pipe.png", b"", type=tarfile.FIFOTYPE)
        add(archive, "images/._good.png")
        sparse = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "1000", "GNU.sparse.name": "s.png"}
        add(archive, "images/sparse.png", pax_headers=sparse)
        add_zeros(archive, "images/large.png", 65 * 2**20)
        add(archive, "images/later.jpg", image)
    return {
        "images/link.png": "link",
        "images/hard.png": "link",
        "images/device.png": "device",
        "images/pipe.png": "device",
        "images/._good.png": "hidden",
        "s.png": "sparse",
        "images/large.png": "68157440 bytes",
    }


def hostile_zip(path: Path, outside: Path, image: bytes) -> dict[str, str]:
    """Write a zip with every kind of member that is refused; return a word of each reason."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images/good.png", image)
        archive.writestr("images/._good.png", b"x")
        for name, kind in (("link", stat.S_IFLNK), ("pipe", stat.S_IFIFO)):
            special = zipfile.ZipInfo(f"images/{name}.png")
            special.external_attr = (kind | 0o644) << 16
            archive.writestr(special, str(outside))
        with archive.open("images/large.png", "w") as file:
            write_zeros(file, 65 * 2**20)
        archive.writestr("images/later.jpg", image)
    return {
        "images/._good.png": "hidden",
        "images/link.png": "link",
        "images/pipe.png": "device",
        "images/large.png": "68157440 bytes",
    }


def write_zeros(file: IO[bytes], size: int) -> None:
    """Write `size` zeros in pieces."""
    for start in range(0, size, 2**20):
        file.write(bytes(min(2**20, size - start)))


def read_tracked(base: Path, name: str) -> tuple[dict[str, bytes], Report, int, str]:
    """Read a container; return images, report, the peak of memory in bytes, and the error."""
    report, images, error = Report(), {}, ""
    tracemalloc.start()
    try:
        for member, content in iterate_container(base, name, report):
            images[member] = content
    except ValueError as raised:
        error = str(raised)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return images, report, peak, error
