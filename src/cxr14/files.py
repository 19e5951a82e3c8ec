"""Atomic writers and file hashes. A file is either the old one or the whole new one.

Every writer writes to a temporary name in the same folder, flushes to disk and renames,
so a killed process leaves nothing half-written, and a file that DVC has hard-linked into
its cache is replaced, never written through.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

METRIC_DIGITS = 4


def project_root() -> Path:
    """Return the original repository, as DVC names it in DVC_ROOT (also under ``--temp``)."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success fsync it and rename it to ``path``."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write bytes atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, content: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, content.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON with two spaces of indent and a final newline; NaN is refused (use null)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_metrics(path: str | Path, metrics: dict[str, Any]) -> None:
    """Write a metrics file: keys sorted, floats rounded to four places, NaN as null."""
    write_json(path, _rounded(metrics))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _rounded(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, float | np.floating):
        return round(float(value), METRIC_DIGITS) if np.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text())


def write_csv(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, without its index, floats to six significant digits."""
    write_text(path, table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def write_parquet(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as parquet, without its index. Equal tables give equal bytes."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def write_npy(path: str | Path, array: npt.NDArray[Any]) -> None:
    """Write one array in NumPy's own format."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal text."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
