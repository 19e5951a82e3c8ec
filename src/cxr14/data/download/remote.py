"""A file that lies elsewhere, and where it lies when a mirror stands in for its host."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from cxr14.files import project_root


class RemoteFile(BaseModel):
    """One file of a catalogue. What is not known (None) is not checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(pattern=r"^\w[\w.-]*$")  # a plain name: it becomes a path
    url: str = Field(pattern=r"^https?://")
    bytes: int | None = Field(gt=0, le=2**60)
    md5: str | None = Field(pattern=r"^[0-9a-f]{32}$")


def is_web(place: str) -> bool:
    """Tell a web address from a path."""
    return place.startswith(("http://", "https://"))


def locate(file: RemoteFile, mirror: str | None) -> str:
    """Return the address, or the path, that a file is fetched from.

    Args:
        file: the file.
        mirror: None, a web address or a folder (relative to the repository) that holds the file.

    Raises:
        FileNotFoundError: the mirror is a folder that is not there.
    """
    if mirror is None:
        return file.url
    if is_web(mirror):
        return f"{mirror.rstrip('/')}/{file.name}"
    folder = project_root() / mirror
    if not folder.is_dir():
        raise FileNotFoundError(
            f"data.mirror: {mirror} is neither an http(s) address nor a folder ({folder})"
        )
    return str(Path(folder) / file.name)
