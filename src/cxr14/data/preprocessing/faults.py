"""Why an image cannot be used: a sentence, and the kind under which it is counted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cxr14.errors import FULL, UserError, full_disk


class ImageError(UserError):
    """An image that cannot be used.

    Attributes:
        issue: the kind: damaged, unreadable, too large, too small, gone, or not as listed.
    """

    def __init__(self, sentence: str, issue: str = "unreadable") -> None:
        super().__init__(sentence)
        self.issue = issue


def not_readable(name: str, reason: str, issue: str = "damaged") -> ImageError:
    """Return the error of a file that is no whole image."""
    return ImageError(f"{name}: not a readable image ({reason})", issue)


@contextmanager
def naming_disk(path: Path) -> Iterator[None]:
    """Name the file system if it is full; the error of a write by descriptor names no file.

    Raises:
        UserError: there is no space for `path`.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise UserError(f"{full_disk(path)} ({path})") from None
