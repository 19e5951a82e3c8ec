"""Files in DVC's cache that were changed in place.

Outputs are hard links to DVC's cache where the file system has no reflinks. They are read-only,
but root may write all the same, and a write through a link changes the cache too. DVC takes a
read-only file in its cache for intact, so neither `dvc status` nor `dvc repro` reports it.
"""

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cxr14.data.outputs import object_path, recorded_listings
from cxr14.errors import UserError
from cxr14.files import read_json, write_json

NOTABLE_BYTES = 2**30
"""From this size on the check says what it does: it reads some hundred megabytes a second."""

SHOWN = 3


def find_cache(root: Path) -> Path:
    """Return the folder files/md5 of DVC's cache, wherever its settings place it.

    Raises:
        UserError: DVC's own folder is gone, or its settings cannot be read.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            return Path(repo.cache.local.path)
    except DvcException as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{root / '.dvc'}: DVC cannot open it ({reason}); restore it: git checkout .dvc"
        ) from None


def check_cache(root: Path, cache: Path, record: Path) -> None:
    """Compare the cached files of all recorded outputs with the MD5 that names them.

    A file that was compared once is read again only if its size, inode or time have changed.

    Args:
        root: of the repository.
        cache: see :func:`find_cache`.
        record: JSON file with inode, time and size of each file that was compared.

    Raises:
        UserError: a file was changed; it names the output and the command that repairs the cache.
    """
    objects = {
        md5: f"{output}/{name}" if name else output
        for output, listing in recorded_listings(root, cache).items()
        for name, md5 in listing.items()
    }
    known: dict[str, list[int]] = read_json(record) if record.is_file() else {}
    present = {md5: facts for md5 in objects if (facts := _facts(object_path(cache, md5)))}
    changed = {md5: facts for md5, facts in present.items() if known.get(md5) != facts}
    altered = _altered(cache, changed)
    sound = {md5: facts for md5, facts in present.items() if md5 not in altered}
    if changed:
        write_json(record, sound)
    if altered:
        raise _altered_error([objects[md5] for md5 in altered], altered, cache)


def _facts(path: Path) -> list[int] | None:
    """Return inode, time of the last change (ns) and size of a file, None if it is missing."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return [facts.st_ino, facts.st_mtime_ns, facts.st_size]


def _altered(cache: Path, changed: dict[str, list[int]]) -> list[str]:
    """Return those of the cached files whose content has another MD5 than their name."""
    total = sum(size for _, _, size in changed.values())
    if total > NOTABLE_BYTES:
        print(f"comparing {total / 1e9:.1f} GB of DVC's cache with dvc.lock (once)", flush=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(lambda md5: _md5(object_path(cache, md5)), changed))
    return [md5 for md5, actual in zip(changed, found, strict=True) if md5 != actual]


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _altered_error(outputs: list[str], altered: Iterable[str], cache: Path) -> UserError:
    files = " ".join(f"'{object_path(cache, md5)}'" for md5 in altered)
    more = f" and {len(outputs) - SHOWN} more" if len(outputs) > SHOWN else ""
    second = ""
    if any(output.startswith("chexnext/") for output in outputs):
        second = "\n  dvc repro chexnext/dvc.yaml"
    return UserError(
        f"{', '.join(outputs[:SHOWN])}{more}: changed after the stage wrote it, and DVC's cache "
        f"with it, because both are links to one file; `dvc checkout` cannot restore it. Remove it "
        f"from the cache, then the stage runs again:\n  rm -f {files}\n  dvc repro{second}"
    )
