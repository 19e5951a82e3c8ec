"""The root of the repository, found from any folder inside it."""

from pathlib import Path

from cxr14.errors import UserError

ROOT_FILES = ("dvc.yaml", "params.yaml", ".dvc")
"""Files of the root of the repository; `chexnext` lacks the last."""


def project_root() -> Path:
    """Return the root of the repository that holds the working directory.

    Raises:
        UserError: the working directory is outside of a cxr14 repository.
    """
    start = Path.cwd()
    for folder in (start, *start.parents):
        if all((folder / name).exists() for name in ROOT_FILES):
            return folder
    raise UserError(
        f"{start} is not inside a cxr14 repository (no folder above it holds "
        f"{', '.join(ROOT_FILES)}); change to the repository first"
    )
