"""Which members of an archive or folder are taken as images, and what is an issue.

Nothing is ever extracted, so a hostile name cannot do harm here; it is refused all the same, by
name and with a reason, because an archive that holds one is not what it says it is.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple

from cxr14.errors import UserError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
IMAGE_BYTES = 64 * 2**20
"""The largest image that is read. The set's own are 0.4 MB; 4096×4096 px in 16 bits are 32 MiB."""

INFLATED_FLOOR, INFLATED_RATIO = 128 * 2**20, 20
"""What an archive may inflate to: that many bytes and that many times its own size. PNG and JPEG
are compressed already (the ratio of NIH's archives is 1.0), while deflate can reach 1032."""

NAME_LENGTH = 200
"""Characters of a name that an issue shows."""

NAMES_KEPT = 3
"""Names of members that are kept to describe an archive without images."""

TABLE_NOT_READ = "table not read"
"""The issue of a table or list that was found where none is read, or under another name."""

Fault = tuple[str, str]
"""The issue (its kind) and the detail, see cxr14.data.issues."""


class BombError(UserError):
    """An archive inflates to far more than an archive of images can."""


class Issue(NamedTuple):
    """A row of cxr14.data.issues without its stage."""

    file: str
    name: str
    issue: str
    action: str
    detail: str


@dataclass
class Report:
    """What a reader returns beside the images.

    Attributes:
        issues: filled while reading.
        members: the first names in an archive, images or not.
        advance: called with packed bytes that have been read since the last call.
    """

    issues: list[Issue] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    advance: Callable[[int], None] = lambda count: None

    def skip(self, container: str, member: str, fault: Fault) -> None:
        """Note a file or member that is not used."""
        self._add(container, member, "skipped", fault)

    def keep(self, container: str, member: str, fault: Fault) -> None:
        """Note a file or member that is used, though it is odd."""
        self._add(container, member, "kept", fault)

    def meet(self, member: str) -> None:
        """Note the name of a member of an archive."""
        if len(self.members) < NAMES_KEPT:
            self.members.append(shown(member))

    def _add(self, container: str, member: str, action: str, fault: Fault) -> None:
        kind, detail = fault
        self.issues.append(Issue(shown(container), shown(member), kind, action, detail))


def shown(name: str) -> str:
    """Return a name in a form that any terminal and CSV file can hold."""
    return (name if name.isprintable() else repr(name))[:NAME_LENGTH]


def is_image(member: str) -> bool:
    """Say whether a name ends like an image's; the content decides what kind it is."""
    return member.lower().endswith(IMAGE_SUFFIXES)


def image_name(member: str) -> str:
    """Return the image's name in the table, which says .png whatever the copy's extension is.

    Unicode is normalized (NFC): macOS may store ü as u and a combining mark.
    """
    return unicodedata.normalize("NFC", f"{PurePosixPath(member).stem}.png")


def name_fault(member: str) -> Fault | None:
    """Say why an image cannot be taken for its name, or None."""
    parts = member.split("/")
    if not member.isprintable():
        return "unsafe name", "its name has characters that are no text"
    if member.startswith("/") or re.match("[A-Za-z]:", member):
        return "unsafe name", "its name is an absolute path"
    if ".." in parts:
        return "unsafe name", "its name leads out of the archive (..)"
    if "\\" in member:
        return "unsafe name", "its name has a backslash"
    if any(part.startswith(".") and part != "." for part in parts):
        return "hidden file", "a hidden file: its name or that of its folder starts with a dot"
    return None


def size_fault(size: int) -> Fault | None:
    """Say why a member of so many bytes cannot be taken, or None."""
    if size > IMAGE_BYTES:
        return "too large", f"{size} bytes; an image has at most {IMAGE_BYTES}"
    return None


def allowance(packed: int) -> int:
    """Return the bytes that an archive of so many packed bytes may inflate to."""
    return max(INFLATED_FLOOR, INFLATED_RATIO * packed)
