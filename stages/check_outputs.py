"""Check before a run that DVC would not delete your files.

Stops if an output is a link to a folder or holds files that no stage wrote, and if `data.folder`
or the folder of an external set is in an output. With `--cache` it also checks for a git
repository, which DVC needs, and for files in DVC's cache that were changed in place.

Reads:  dvc.yaml, dvc.lock, params.yaml (data, external), the names of the files in all outputs

Writes: data/outputs_checked.json (of this machine: neither in git nor in DVC's cache, so that a
fresh clone checks)
"""

from pathlib import Path
from typing import Annotated

import typer

from cxr14.config.blocks import CsvParams, read_data
from cxr14.config.external import read_external
from cxr14.datasets.nih import is_web
from cxr14.datasets.outputs import (
    check_cache,
    check_foreign,
    check_links,
    check_user_folder,
    find_cache,
    output_paths,
)
from cxr14.errors import UserError
from cxr14.io import project_root, write_json
from stages import run

OUT = Path("data/outputs_checked.json")
RECORD = Path(".scratch/cache_checked.json")


def main(
    cache: Annotated[
        bool, typer.Option("--cache", help="Check git and DVC's cache too; write nothing to data.")
    ] = False,
) -> None:
    """Check the outputs."""
    root = Path.cwd()
    if cache:
        check_git(root)
    outputs = output_paths(root)
    params = read_data()
    sources: dict[str, CsvParams] = {"data": params}
    sources |= {f"external.{name}": item for name, item in read_external().sets.items()}
    for block, source in sources.items():
        for key, name in source.user_paths().items():
            check_user_folder(project_root() / name, project_root(), f"{block}.{key}")
    if params.source == "nih" and params.mirror is not None and not is_web(params.mirror):
        check_user_folder(project_root() / params.mirror, project_root(), "data.mirror")
    check_links(root, outputs)
    files = find_cache(root) if has_git(root) else None
    check_foreign(root, outputs, files)
    if cache and files:
        check_cache(root, files, project_root() / RECORD)
    if not cache:
        write_json(OUT, {"checked": True})  # always the same, so no other stage runs again


def has_git(root: Path) -> bool:
    """Tell whether a folder is in a git repository."""
    return any((folder / ".git").exists() for folder in (root, *root.parents))


def check_git(root: Path) -> None:
    """Refuse a folder outside of git.

    Raises:
        UserError: with the commands that make it a repository.
    """
    if not has_git(root):
        raise UserError(
            f"{root} is not a git repository, and DVC needs one (a downloaded archive of the "
            f"code has none); clone the repository, or run here: git init && git add -A && "
            f"git commit -m start"
        )


if __name__ == "__main__":
    run(main, __doc__)
