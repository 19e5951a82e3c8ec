"""What was run: source, split, images, params that differ from the default, hashes of the data.

The page names no commit. The page is an output of DVC: it is restored, not rendered again, on every
commit with the same inputs, and would state the commit that happened to render it first. The hashes
of files identify the inputs instead.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cxr14.config.reader import read_yaml
from cxr14.io import file_md5
from cxr14.report.cohort import Cohort
from cxr14.report.published import split_name
from cxr14.report.summary import Results

DEFAULTS: Final = Path(__file__).with_name("defaults.yaml")
"""The default params.yaml, written by docs/generate_params.py."""

WITHOUT_EFFECT: Final = (
    "data.connections",
    "data.mirror",
    "preprocess.workers",
    "preprocess.engine",
    "preprocess.scheduler",
)
"""Params that change no result."""

DATA: Final = {
    "records": "data/records/images.parquet",
    "split": "data/split/split.parquet",
    "images": "data/cache/index.parquet",
}
SHORT: Final = 10  # characters of a hash
UNSET: Final = "not set"


@dataclass(frozen=True)
class Fact:
    """A fact of the run; ``note`` is in small type."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Change:
    """A param that differs from its default."""

    key: str
    value: str
    default: str


def run_facts(results: Results, cohort: Cohort) -> list[Fact]:
    """Return what was run: source, split, test images, networks."""
    numbers, boxed = results.evaluate[results.best], results.localize[results.best]
    sizes = ", ".join(f"{name} {cohort.size(name)[0]:,}" for name in ("train", "val"))
    pixels = "simulated" if results.source.phantom else "real pixels"
    listed = f"{len(cohort.records):,} images with pixels of {cohort.listed:,} records"
    tested = f"{numbers['images']:,} images of {numbers['patients']:,} patients"
    count = len(results.backbones)
    return [
        Fact("Source", f"{results.source.name} ({pixels})", listed),
        Fact("Split", split_name(results), f"{sizes}; no patient in two splits"),
        Fact("Test", tested, f"{boxed['boxed_images']:,} with ground-truth boxes"),
        Fact(
            "Networks",
            f"{count} backbone{'s' if count > 1 else ''}",
            f"{', '.join(results.backbones)}; validation chose {results.best}",
        ),
    ]


def changed_params(path: Path, defaults: Path = DEFAULTS) -> list[Change]:
    """Return the params that differ from their defaults, by key; paths by their last component.

    Args:
        path: of params.yaml.
        defaults: of the default one.

    Raises:
        ParamsError: a file is no valid YAML.
    """
    values, known = (dict(_leaves(read_yaml(file))) for file in (path, defaults))
    keys = [key for key in {**known, **values} if not key.startswith(WITHOUT_EFFECT)]
    return [
        Change(key, _text(values.get(key, UNSET)), _text(known.get(key, UNSET)))
        for key in keys
        if values.get(key, UNSET) != known.get(key, UNSET)
    ]


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a nested mapping by key; an empty mapping has none."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return ", ".join(map(_text, value)) if isinstance(value, list) else _without_folder(str(value))


def _without_folder(value: str) -> str:
    """Return the last component of a path, since a page that is passed on names no folder."""
    folded = value.replace("\\", "/").rstrip("/")
    return f"…/{folded.rpartition('/')[2]}" if "/" in folded else value


def data_hashes(root: Path) -> dict[str, str]:
    """Return the start of the MD5 of each file that defines the data."""
    return {name: file_md5(root / path)[:SHORT] for name, path in DATA.items()}
