"""Files of a user: PNG, JPEG and DICOM in folders, archives and globs, decoded ahead in threads.

Archives and folders are read by cxr14.datasets.image_sources, images by
cxr14.preprocessing.decode. A file that cannot be read is a :class:`Failure` and stops no other.
No element of a DICOM enters a name or a reason, except codes that are listed here or there.
"""

import io
import os
import sys
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from cxr14.datasets.archive_kinds import (
    IMAGE_BYTES,
    TABLE_NOT_READ,
    Report,
    is_dicom,
    is_image,
    size_fault,
    sniff_kind,
)
from cxr14.datasets.image_sources import (
    FORMATS,
    find_containers,
    image_location,
    iterate_container,
    read_dicom,
)
from cxr14.errors import UserError, explain
from cxr14.preprocessing.decode import Shrunk, shrink
from cxr14.serving.refusals import size_faults

STDIN = "-"
STDIN_NAME = "stdin"

AHEAD, AHEAD_BYTES = 64, 512 * 2**20
"""Maximum number of files in memory, and of their bytes, that are decoded before they are used."""

NO_IMAGES = (TABLE_NOT_READ, "hidden file", "hidden folder")
"""Issues of readers that concern no image of the user."""

FRONTAL = ("PA", "AP")
LATERAL = ("LL", "RL", "LLD", "RLD", "LLO", "RLO", "LATERAL")
"""Values of View Position (DICOM PS3.3, C.8.1.2)."""

CHEST = "CHEST"
OTHER_PARTS = (
    *("ABDOMEN", "ANKLE", "ARM", "BREAST", "CSPINE", "ELBOW", "EXTREMITY", "FOOT", "HAND", "HEAD"),
    *("HIP", "KNEE", "LEG", "LSPINE", "NECK", "PELVIS", "SHOULDER", "SKULL", "SPINE", "TSPINE"),
    *("WRIST", "HEART"),
)
"""Defined terms of Body Part Examined (DICOM PS3.16, annex L) that are seen in radiography."""

COLOURFUL = 0.1
"""Minimum share of coloured pixels of a photograph; letters and arrows on a film are fewer."""

TINT = 8.0
"""Grey levels by which the colour of a tinted film differs at most from that of its tint."""

_THUMBNAIL = 128


@dataclass(frozen=True)
class Input:
    """A decoded image.

    Attributes:
        name: path of the file as the user named it, with the member of an archive; or stdin.
            Characters that cannot be printed are escaped.
        shrunk: the image as in the cache, and its geometry.
        faults: what the file itself says against a frontal radiograph of the chest.
    """

    name: str
    shrunk: Shrunk
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """A file that cannot be read, and why; the name is as in :class:`Input`."""

    name: str
    reason: str


def read_files(arguments: Sequence[str], size: int) -> Iterator[Input | Failure]:
    """Read and decode files, folders, archives, globs and stdin, in their order.

    Args:
        arguments: paths or patterns; ``-`` is one image on stdin.
        size: pixels per side of the cached image.
    """
    ignore_warnings_of_decoders()
    yield from _decode_ahead(map(_with_printable_name, _contents(arguments)), size)


def decode_input(content: bytes, size: int, name: str) -> Input | Failure:
    """Decode one image, with what its file says against a frontal radiograph of the chest."""
    ignore_warnings_of_decoders()
    try:
        shrunk = shrink(content, size, name)
    except UserError as error:
        return Failure(name, str(error).removeprefix(f"{name}: "))
    return Input(name, shrunk, tuple(faults_of(content, shrunk)))


def ignore_warnings_of_decoders() -> None:
    """Ignore the warnings of pydicom, which quote values of elements, and of Pillow.

    The decoders do so themselves, but in threads the filters of one end those of another.
    """
    for module in ("pydicom", "PIL"):
        warnings.filterwarnings("ignore", module=module)


def faults_of(content: bytes, shrunk: Shrunk) -> list[str]:
    """List the faults of a readable file: header, colours, size.

    Args:
        content: bytes of the file.
        shrunk: the decoded file.
    """
    faults = size_faults(shrunk.source_width, shrunk.source_height)
    if is_dicom(content):
        return [*_dicom_faults(content), *faults]
    if "colour" in shrunk.remarks and coloured_share(content) >= COLOURFUL:
        return ["a colour photograph; a radiograph is grey or has one tint", *faults]
    return faults


def _dicom_faults(content: bytes) -> list[str]:
    view, part = (_code(content, keyword) for keyword in ("ViewPosition", "BodyPartExamined"))
    faults = []
    if view in LATERAL:
        allowed = " and ".join(FRONTAL)
        faults.append(f"a lateral view by its DICOM header ({view}); allowed: {allowed}")
    if part in OTHER_PARTS:
        faults.append(f"of body part {part} by its DICOM header; allowed: {CHEST}")
    return faults


def _code(content: bytes, keyword: str) -> str:
    """Read an element in capitals without spaces; empty if it is missing or damaged.

    Networks need only the pixels, which are sound. The messages of pydicom quote values.
    """
    try:
        value = read_dicom(content, (keyword,)).get(keyword)
        return str(value or "").strip().upper().replace(" ", "")
    except MemoryError:
        raise
    except Exception:  # pydicom's errors are of many types
        return ""


def coloured_share(content: bytes) -> float:
    """Return the share of the pixels of a PNG or JPEG that are coloured, but not by a tint.

    The chroma of a tinted film is a function of its luma; here a quadratic one is fitted.
    """
    with Image.open(io.BytesIO(content), formats=FORMATS) as file:
        small = file.convert("RGBA").convert("RGB").resize((_THUMBNAIL, _THUMBNAIL))
    luma, *chroma = np.moveaxis(np.asarray(small.convert("YCbCr"), np.float64), -1, 0)
    terms = np.vander(luma.ravel() / 255, 3)
    targets = np.stack([channel.ravel() for channel in chroma], axis=1)
    weights = np.linalg.lstsq(terms, targets, rcond=None)[0]
    return float((np.linalg.norm(targets - terms @ weights, axis=1) > TINT).mean())


# Contents.

Content = tuple[str, bytes] | Failure


def _with_printable_name(content: Content) -> Content:
    """Escape the name: bytes that are no UTF-8 can be neither printed nor written to a table."""
    if isinstance(content, Failure):
        return Failure(escaped(content.name), escaped(content.reason))
    name, data = content
    return escaped(name), data


def escaped(text: str) -> str:
    """Escape what cannot be printed; nothing is cut, as the ends of long paths tell files apart."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _contents(arguments: Sequence[str]) -> Iterator[Content]:
    for argument in arguments:
        try:
            yield from _of_argument(argument)
        except (UserError, OSError) as error:
            sentence = str(explain(error))
            yield Failure(argument, sentence.removeprefix(f"{argument}: "))


def _of_argument(argument: str) -> Iterator[Content]:
    if argument == STDIN:
        yield _of_bytes(STDIN_NAME, sys.stdin.buffer.read(IMAGE_BYTES + 1))
    elif Path(argument).exists():
        yield from _of_path(Path(argument))
    elif paths := _matches(Path(argument)):
        yield from _contents(paths)
    else:
        yield Failure(argument, "no such file or folder, and no file fits it as a pattern")


def _matches(pattern: Path) -> list[str]:
    """List the files that fit a pattern, sorted; none if it has no *, ? or [."""
    if not any(sign in str(pattern) for sign in "*?["):
        return []
    inside = pattern.relative_to(pattern.anchor)
    return sorted(map(str, Path(pattern.anchor).glob(str(inside))))


def _of_path(path: Path) -> Iterator[Content]:
    if path.is_dir():
        report = Report()
        containers = find_containers(path, report)
        yield from _failures(path, report)
        for container in containers:
            yield from _of_container(path, container)
        if not containers:
            yield Failure(str(path), "holds no PNG, JPEG or DICOM file (by the suffix), no archive")
    elif not path.is_file():  # opening a pipe would block
        yield Failure(str(path), "no regular file; give an image on stdin as -")
    elif not is_image(path.name) and sniff_kind(path):
        yield from _of_container(path.parent, path.name)
    else:
        with path.open("rb") as file:
            yield _of_bytes(str(path), file.read(IMAGE_BYTES + 1))


def _of_bytes(name: str, content: bytes) -> Content:
    if size_fault(len(content)):
        return Failure(name, f"over {IMAGE_BYTES} bytes; an image has at most that many")
    return name, content


def _of_container(base: Path, container: str) -> Iterator[Content]:
    """Yield the images of an archive, or the loose ones of a folder if ''."""
    report, count, failure = Report(), 0, None
    try:
        for member, content in iterate_container(base, container, report):
            yield str(base / image_location(container, member)), content
            count += 1
    except (UserError, OSError) as error:
        sentence = str(explain(error))
        failure = Failure(str(base / container), sentence.removeprefix(f"{base / container}: "))
    yield from _failures(base, report)
    if failure:
        yield failure
    elif not count and not report.issues:
        yield Failure(str(base / container), "holds no PNG, JPEG or DICOM file (by the suffix)")


def _failures(base: Path, report: Report) -> Iterator[Failure]:
    for issue in report.issues:
        if issue.action == "skipped" and issue.issue not in NO_IMAGES:
            name = image_location(issue.file, issue.name) if issue.name else issue.file
            yield Failure(str(base / name), f"{issue.issue}: {issue.detail}")


# Threads. Decoders release the GIL, so images are decoded while the network runs.


def _decode_ahead(contents: Iterable[Content], size: int) -> Iterator[Input | Failure]:
    """Decode in threads, in the order of the contents, with bounded memory."""
    queue: deque[tuple[Future[Input | Failure] | Failure, int]] = deque()
    waiting = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for content in contents:
                if isinstance(content, Failure):
                    queue.append((content, 0))
                else:
                    name, data = content
                    queue.append((pool.submit(decode_input, data, size, name), len(data)))
                    waiting += len(data)
                while len(queue) > AHEAD or (waiting > AHEAD_BYTES and queue):
                    item, count = queue.popleft()
                    waiting -= count
                    yield item if isinstance(item, Failure) else item.result()
            for item, _ in queue:
                yield item if isinstance(item, Failure) else item.result()
        finally:
            pool.shutdown(cancel_futures=True)
