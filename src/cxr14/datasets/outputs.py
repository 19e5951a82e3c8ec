"""Checks of pipeline outputs and of DVC's cache for files that no stage wrote.

DVC deletes the outputs of a stage before it runs, and follows links into folders outside. So a
check comes first: outputs may not be links, hold files of the user, or be the user's `data.folder`.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from cxr14.datasets.raw import (
    ARCHIVES,
    SYSTEM_FILES,
    TABLES,
    foreign_archives,
    foreign_tables,
    is_temporary,
)
from cxr14.errors import UserError, quote
from cxr14.io import file_md5, project_root, read_json, write_json

DOWNLOADS = Path(".scratch/download")
GRAPHS = ("dvc.yaml", "chexnext/dvc.yaml")

TABLES_OF = r"(.+/)?[^/]+\.(json|csv|parquet)"
METRICS_OF = r"(.+/)?[^/]+\.(json|csv)"
PLOTS_OF = r"(.+/)?[^/]+\.(csv|png)"
MODEL_OF = r"[^/]+\.(safetensors|json)"
RUNS = ("chexnext/", "chexnext/singles/")

WRITTEN = {  # outputs that are folders: names of the files that their stages write
    "data/records": r"[^/]+\.(parquet|json)",
    "data/split": r"[^/]+\.parquet",
    "data/cache": r"images\.npy|[^/]+\.(parquet|csv)",
    "data/external/*": r"cache/(images\.npy|[^/]+\.(parquet|csv))|images\.parquet|issues\.csv"
    r"|tables/[^/]+",
    "data/pretrained/*": MODEL_OF,
    "models/*": MODEL_OF,
    "evaluation/*": r"[^/]+\.(json|csv|parquet)",
    "localization/*": r"[^/]+\.(json|csv|parquet|npz)",
    "plots/baseline": r"[^/]+\.csv",
    "plots/localize": r"[^/]+/[^/]+\.png",
    "report": r"[^/]+\.(html|txt)|cards/[^/]+\.(html|md)",
    "serving": r"[^/]+\.(json|npz)",
    "chexnext/data/folds": r"(.+/)?[^/]+\.parquet",
    "chexnext/data/relabelled": r"[^/]+\.(parquet|npy)",
    "chexnext/models/members/*-*": MODEL_OF,
    "chexnext/models/students/*-*": MODEL_OF,
    "chexnext/selection": r"[^/]+\.json",
    **{f"{run}{name}": TABLES_OF for run in RUNS for name in ("predictions", "evaluation")},
    **{f"{run}localization": TABLES_OF for run in RUNS},
    "chexnext/metrics/evaluate/members": METRICS_OF,
    "chexnext/metrics/evaluate/chexnext": METRICS_OF,
    "chexnext/metrics/localize/chexnext": METRICS_OF,
    **{f"chexnext/singles/metrics/{kind}": METRICS_OF for kind in ("evaluate", "localize")},
    **{f"chexnext/singles/plots/{kind}": PLOTS_OF for kind in ("evaluate", "localize")},
    "chexnext/plots/localize": PLOTS_OF,
}
PLACEHOLDER = re.compile(r"\$\{[^}]*\}")
MAX_LISTED = 3
"""Files that an error lists."""


def output_paths(root: Path) -> list[str]:
    """List the outputs of both pipelines, relative to the root; `*` stands for a matrix item."""
    paths: dict[str, None] = {}
    for graph in GRAPHS:
        file = root / graph
        stages = yaml.safe_load(file.read_text())["stages"] if file.is_file() else {}
        for stage in stages.values():
            base = Path(graph).parent / stage.get("wdir", ".")
            for kind in ("outs", "metrics", "plots"):
                for entry in stage.get(kind, []):
                    name = entry if isinstance(entry, str) else next(iter(entry))
                    paths[_normal(base / PLACEHOLDER.sub("*", name))] = None
    return list(paths)


def check_user_folder(folder: Path, root: Path, key: str = "data.folder") -> None:
    """Refuse a user's path that is an output, is inside one or contains one; links are followed.

    Args:
        folder: the user's folder or file.
        root: root of the repository.
        key: key of params.yaml that names the folder.

    Raises:
        UserError: DVC would delete the user's files.
    """
    real = _real(folder)
    for output in output_paths(root):
        output_path = _real(_fixed_part(root, output))
        contains = real in output_path.parents
        if contains or real == output_path or output_path in real.parents:
            raise UserError(
                f"{key} {quote(str(folder))} {'contains' if contains else 'is in'} {output}, an "
                f"output of the pipeline, whose files are deleted when it runs; move your files to "
                f"another folder, for example data/mine, and set {key} to it"
            )


def _real(path: Path) -> Path:
    """Follow all links; a link to itself, for which Path.resolve raises an error, stays."""
    return Path(os.path.realpath(path))


def _fixed_part(root: Path, output: str) -> Path:
    """Return the folder of all items of an output (models for models/*), or the output itself."""
    return root / output.split("*")[0].rstrip("/")


def check_links(root: Path, outputs: list[str]) -> None:
    """Refuse outputs that are links to folders, or are reached through one.

    Raises:
        UserError: naming the link.
    """
    for output in outputs:
        for path in sorted(root.glob(output)) or [_fixed_part(root, output)]:
            for part in [*reversed(path.relative_to(root).parents), path.relative_to(root)]:
                link = root / part
                if link.is_symlink() and not link.is_file():
                    raise UserError(
                        f"{part} is a link to {quote(str(link.readlink()))}; outputs are replaced, "
                        f"so they may not be links to folders. Remove the link (rm {part}). Your "
                        f"own images are read from their folder: set data.source to folder and "
                        f"data.folder to it. For another disk, clone the repository there"
                    )


def check_foreign(root: Path, outputs: list[str], cache: Path | None) -> None:
    """Refuse files in the outputs of a repository that no stage wrote.

    Args:
        root: root of the repository.
        outputs: see :func:`output_paths`.
        cache: folder files/md5 of DVC's cache, or None if it is unknown.

    Raises:
        UserError: names the first files.
    """
    listings = recorded_listings(root, cache) if cache else {}
    foreign = [*foreign_tables(TABLES), *foreign_in_archives(root, ARCHIVES, cache=cache)]
    for output in outputs:
        for folder in sorted(root.glob(output)) if output in WRITTEN else ():
            recorded = listings.get(folder.relative_to(root).as_posix(), {})
            foreign += _foreign(folder, WRITTEN[output], recorded)
    if foreign:
        raise foreign_error(
            [str(path.relative_to(root) if path.is_absolute() else path) for path in foreign]
        )


def foreign_in_archives(
    root: Path, archives: Path, downloads: Path | None = None, cache: Path | None = None
) -> list[Path]:
    """List the files in the folder of archives that the stage `download` did not write.

    Args:
        root: root of the repository.
        archives: the folder.
        downloads: folder of the downloads; None: .scratch/download.
        cache: see :func:`check_foreign`.
    """
    known: dict[str, list[Path]] = {}
    for path in (downloads or project_root() / DOWNLOADS).rglob("images_*"):
        known.setdefault(path.name, []).append(path)
    if cache:
        for name, md5 in recorded_listings(root, cache).get(ARCHIVES.as_posix(), {}).items():
            known.setdefault(name, []).append(object_path(cache, md5))
    recorded = dict(recorded_outputs(root)).get(archives.as_posix())
    return foreign_archives(archives, known, recorded)


def foreign_error(paths: list[str]) -> UserError:
    """Return the error of files in outputs that no stage wrote; `paths` is not empty."""
    files, them = ("this file", "it") if len(paths) == 1 else ("these files", "them")
    return UserError(
        f"{_listed(map(quote, paths))}: no stage wrote {files}, and the pipeline would delete "
        f"{them}; move {them} to another folder, for example data/mine (own images: set "
        f"data.folder to it), then run the same command again"
    )


def _listed(names: Iterable[str]) -> str:
    first = [*names]
    more = f" and {len(first) - MAX_LISTED} more" if len(first) > MAX_LISTED else ""
    return f"{', '.join(first[:MAX_LISTED])}{more}"


def _foreign(folder: Path, written: str, recorded: dict[str, str]) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            continue
        known = name in recorded or re.fullmatch(written, name) or is_temporary(path.name, written)
        if not known and path.name not in SYSTEM_FILES:
            yield path


def recorded_listings(root: Path, cache: Path) -> dict[str, dict[str, str]]:
    """Return path and MD5 of each file of the outputs, by dvc.lock and DVC's cache.

    Returns:
        For each output: the path in it ('' for an output that is a file) and the MD5. A folder
        whose listing is not in the cache is left out.
    """
    listings: dict[str, dict[str, str]] = {}
    for path, md5 in recorded_outputs(root):
        if not md5.endswith(".dir"):
            listings[path] = {"": md5}
            continue
        listing = object_path(cache, md5)
        if listing.is_file():
            try:
                entries: list[dict[str, Any]] = json.loads(listing.read_bytes())
                listings[path] = {str(entry["relpath"]): str(entry["md5"]) for entry in entries}
            except (ValueError, TypeError, KeyError, RecursionError):
                raise UserError(
                    f"{listing}: damaged, DVC's listing of {path}; remove it and run the stage "
                    f"again:\n  rm -f '{listing}'\n  dvc repro"
                ) from None
    return listings


def recorded_outputs(root: Path) -> Iterator[tuple[str, str]]:
    """Yield path and MD5 of every output in dvc.lock and chexnext/dvc.lock."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for graph in GRAPHS:
        lock = (root / graph).with_suffix(".lock")
        if not lock.is_file():
            continue
        stages = _locked_stages(lock, loader)
        wdirs = yaml.load((root / graph).read_bytes(), loader)["stages"]
        for name, stage in stages.items():
            base = Path(graph).parent / wdirs.get(name.split("@")[0], {}).get("wdir", ".")
            for out in stage.get("outs", []):
                if "md5" in out:
                    yield _normal(base / out["path"]), str(out["md5"])


def _locked_stages(lock: Path, loader: Any) -> dict[str, Any]:
    """Read a dvc.lock.

    Raises:
        UserError: it is damaged, as after a merge with conflicts.
    """
    try:
        content = yaml.load(lock.read_bytes(), loader)
    except (yaml.YAMLError, UnicodeDecodeError):
        content = None
    stages = content.get("stages") if isinstance(content, dict) else None
    if not isinstance(stages, dict) or not all(map(_is_locked, stages.values())):
        raise UserError(
            f"{lock}: damaged, or a merge with conflicts is unfinished; restore it: "
            f"git checkout {lock.name if lock.parent.name != 'chexnext' else 'chexnext/dvc.lock'}"
        )
    return stages


def _is_locked(stage: Any) -> bool:
    outs = stage.get("outs", []) if isinstance(stage, dict) else None
    return isinstance(outs, list) and all(isinstance(o, dict) and "path" in o for o in outs)


def _normal(path: Path) -> str:
    """Return a path without `..`; links are not followed."""
    return Path(os.path.normpath(path)).as_posix()


def object_path(cache: Path, md5: str) -> Path:
    """Return the path in DVC's cache of the content with this MD5."""
    return cache / md5[:2] / md5[2:]


# Files in DVC's cache that were changed in place.
#
# Without reflinks, outputs are read-only hard links to DVC's cache. Root may write all the same,
# which changes the cache too, and DVC does not check read-only files.

NOTABLE_BYTES = 2**30
"""Minimum bytes for a message before hashing, which takes seconds per gigabyte."""


def find_cache(root: Path) -> Path:
    """Return the folder files/md5 of DVC's cache.

    Raises:
        UserError: DVC's folder is missing, or its settings cannot be read.
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
        root: root of the repository.
        cache: see :func:`find_cache`.
        record: JSON file with inode, time and size of each file that was compared.

    Raises:
        UserError: a file was changed; names the output and the command that repairs the cache.
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
    if changed:
        write_json(record, {md5: facts for md5, facts in present.items() if md5 not in altered})
    if altered:
        raise _altered_error([objects[md5] for md5 in altered], altered, cache)


def _facts(path: Path) -> list[int] | None:
    """Return inode, time of the last change (ns) and size of a file, None if it is missing."""
    if not path.exists():
        return None
    facts = path.stat()
    return [facts.st_ino, facts.st_mtime_ns, facts.st_size]


def _altered(cache: Path, changed: dict[str, list[int]]) -> list[str]:
    """Return those of the cached files whose content has another MD5 than their name."""
    total = sum(size for _, _, size in changed.values())
    if total > NOTABLE_BYTES:
        print(f"comparing {total / 1e9:.1f} GB of DVC's cache with dvc.lock (once)", flush=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        hashes = list(pool.map(lambda md5: file_md5(object_path(cache, md5)), changed))
    return [md5 for md5, actual in zip(changed, hashes, strict=True) if md5 != actual]


def _altered_error(outputs: list[str], altered: Iterable[str], cache: Path) -> UserError:
    files = " ".join(f"'{object_path(cache, md5)}'" for md5 in altered)
    second = "\n  dvc repro chexnext/dvc.yaml"
    if not any(output.startswith("chexnext/") for output in outputs):
        second = ""
    return UserError(
        f"{_listed(outputs)}: changed after the stage wrote it, and DVC's "
        f"cache with it, because both are links to one file; `dvc checkout` cannot restore it. "
        f"Remove it from the cache, then the stage runs again:\n  rm -f {files}\n"
        f"  dvc repro{second}"
    )
