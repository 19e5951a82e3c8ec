"""Images where they lie: members of tar archives, or files of a folder, one interface.

A *manifest* lists them: image (its name in the table), container (path of the archive, or of
the folder, relative to the images' base), member (path inside it), bytes and sha256.
"""

import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pandas as pd

MANIFEST_COLUMNS = ("image", "container", "member", "bytes", "sha256")
FOLDER_PATTERNS = ("images/*.png", "images_*/images/*.png", "*.png")
ARCHIVE_PATTERNS = ("images_*.tar.gz", "images_*.tar")


def find_containers(base: Path) -> list[str]:
    """Name the archives in a folder (NIH's layout) and, as '', its loose PNGs (NIH's, Kaggle's)."""
    archives = sorted({path.name for pattern in ARCHIVE_PATTERNS for path in base.glob(pattern)})
    loose = any(next(base.glob(pattern), None) for pattern in FOLDER_PATTERNS)
    return [*archives, *([""] if loose else [])]


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    """Open an archive; one that breaks off, or is none, ends in a sentence."""
    try:
        with tarfile.open(path) as archive:
            yield archive
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: not a whole archive ({error}); fetch it again") from None


def iterate_container(base: Path, container: str) -> Iterator[tuple[str, bytes]]:
    """Yield (member, content) of every PNG in an archive, or loose in the folder if ''.

    Raises:
        ValueError: the archive is broken.
    """
    if container:
        with _opened(base / container) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file and member.name.lower().endswith(".png"):
                    yield member.name, file.read()
    else:
        paths = sorted({path for pattern in FOLDER_PATTERNS for path in base.glob(pattern)})
        for path in paths:
            yield path.relative_to(base).as_posix(), path.read_bytes()


def read_members(base: Path, container: str, members: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (member, content) of the named members, in whatever order is fast.

    A compressed archive is read once from front to back, nothing is extracted to disk.

    Raises:
        FileNotFoundError: the archive, or some of the members, are not there any more.
        ValueError: the archive is broken.
    """
    wanted = set(members)
    if not container:
        for member in members:
            if (base / member).is_file():
                wanted.discard(member)
                yield member, (base / member).read_bytes()
    elif (base / container).is_file():
        with _opened(base / container) as archive:
            for entry in archive:
                if entry.name in wanted and (file := archive.extractfile(entry)):
                    wanted.discard(entry.name)
                    yield entry.name, file.read()
    if wanted:
        raise FileNotFoundError(
            f"{base / container}: {len(wanted)} of {len(members)} images in the manifest are gone, "
            f"first {min(wanted)}; bring them back, or renew the manifest with "
            f"`dvc repro --force download`"
        )


def describe(container: str, member: str, content: bytes) -> dict[str, object]:
    """Return one row of a manifest."""
    return {
        "image": PurePosixPath(member).name,
        "container": container,
        "member": member,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def check_manifest(manifest: pd.DataFrame) -> None:
    """Refuse a manifest in which one image name stands for two contents.

    Raises:
        ValueError: naming the image and both places.
    """
    doubled = manifest[manifest.image.duplicated(keep=False)]
    if len(doubled):
        places = doubled[doubled.image == doubled.image.iloc[0]]
        found = " and ".join(f"{row.container}/{row.member}" for row in places.itertuples())
        raise ValueError(f"{doubled.image.nunique()} images are there twice, first {found}")
