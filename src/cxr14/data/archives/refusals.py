"""Which members of an archive or folder are taken as images, and why another one is refused.

Nothing is ever extracted, so a hostile name cannot do harm here; it is refused all the same, by
name and with a reason, because an archive that holds one is not what it says it is.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from cxr14.errors import UserError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
IMAGE_BYTES = 64 * 2**20
"""The largest image that is read. The set's own are 0.4 MB; 4096×4096 px in 16 bits are 32 MiB."""

INFLATED_FLOOR, INFLATED_RATIO = 128 * 2**20, 20
"""What an archive may inflate to: that many bytes and that many times its own size. PNG and JPEG
are compressed already (the ratio of NIH's archives is 1.0), while deflate can reach 1032."""

NAME_LENGTH = 200
"""Characters of a refused name that are reported."""


class BombError(UserError):
    """An archive inflates to far more than an archive of images can."""


@dataclass(frozen=True)
class Refusal:
    """A member that was not taken; container and member as in a manifest."""

    container: str
    member: str
    reason: str


@dataclass
class Report:
    """What a reader tells beside the images.

    Attributes:
        refusals: filled while reading.
        advance: called with packed bytes that have been read since the last call.
    """

    refusals: list[Refusal] = field(default_factory=list)
    advance: Callable[[int], None] = lambda count: None

    def refuse(self, container: str, member: str, reason: str) -> None:
        """Note a member that is not taken, in a form that any terminal and CSV file can bear."""
        name = member if member.isprintable() else repr(member)
        self.refusals.append(Refusal(container, name[:NAME_LENGTH], reason))


def is_image(member: str) -> bool:
    """Say whether a name ends like an image's; the content decides what kind it is."""
    return member.lower().endswith(IMAGE_SUFFIXES)


def image_name(member: str) -> str:
    """Return the image's name in the table, which says .png whatever the copy's extension is."""
    return f"{PurePosixPath(member).stem}.png"


def name_fault(member: str) -> str | None:
    """Say why a member cannot be taken for its name, or None."""
    parts = member.split("/")
    if not member.isprintable():
        return "its name has characters that are no text"
    if member.startswith("/") or re.match("[A-Za-z]:", member):
        return "its name is an absolute path"
    if ".." in parts:
        return "its name leads out of the archive (..)"
    if "\\" in member:
        return "its name has a backslash"
    if is_image(member) and parts[-1].startswith("."):
        return "hidden file (macOS leaves such beside the images)"
    return None


def size_fault(size: int) -> str | None:
    """Say why a member of so many bytes cannot be taken, or None."""
    if size > IMAGE_BYTES:
        return f"{size} bytes; an image has at most {IMAGE_BYTES}"
    return None


def allowance(packed: int) -> int:
    """Return the bytes that an archive of so many packed bytes may inflate to."""
    return max(INFLATED_FLOOR, INFLATED_RATIO * packed)
