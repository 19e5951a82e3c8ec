"""The files of an earlier run, as git and DVC keep them; nothing is checked out."""

import json
from io import BytesIO
from typing import Any

import pandas as pd

from cxr14.errors import UserError, quote


class Earlier:
    """One revision of a repository: a commit, a branch, a tag, or an experiment by its name."""

    def __init__(self, revision: str, root: str = ".") -> None:
        """Open a revision.

        Raises:
            UserError: git knows no such revision.
        """
        from dvc.api import DVCFileSystem  # half a second, and one command alone needs it
        from dvc.repo import Repo
        from dvc.scm import SCMError, resolve_rev

        self.revision = revision
        try:
            with Repo(root) as repo:
                commit = resolve_rev(repo.scm, revision)
        except SCMError:
            raise UserError(
                f"git knows no revision {quote(revision)}; `git log --oneline` and `dvc exp show` "
                "list what there is"
            ) from None
        self._files = DVCFileSystem(root, rev=commit)

    def has(self, path: str) -> bool:
        """Whether the revision lists a file, be it in DVC's cache or not."""
        return bool(self._files.exists(path))

    def read(self, path: str) -> bytes:
        """Read a file.

        Raises:
            FileNotFoundError: the revision has no such file, or DVC's cache does not.
        """
        try:
            return bytes(self._files.read_bytes(path))
        except FileNotFoundError:
            told = f"{self.revision} has no {path}; choose a revision that was evaluated"
            if self.has(path):
                told = (
                    f"{path} of {self.revision} is not in DVC's cache; `dvc fetch` brings it from "
                    f"a remote, or a run of {self.revision} makes it again"
                )
            raise FileNotFoundError(told) from None

    def table(self, path: str) -> pd.DataFrame:
        """Read a parquet file, see :meth:`read`; a damaged one is a UserError."""
        import pyarrow as pa

        try:
            return pd.read_parquet(BytesIO(self.read(path)))
        except (pa.ArrowException, ValueError) as error:
            raise UserError(
                f"{path} of {self.revision} is damaged: no parquet file ({type(error).__name__})"
            ) from None

    def json(self, path: str) -> Any:
        """Read a JSON file, see :meth:`read`; a damaged one is a UserError."""
        try:
            return json.loads(self.read(path))
        except ValueError:
            raise UserError(f"{path} of {self.revision} is damaged: no JSON") from None
