"""Formats of numbers, tables and progress bars, shared by all that is printed or drawn."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import isnan
from typing import Any, TypeVar

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

MISSING = "–"
NOT_TRAINED = "not trained"
TABLE_WIDTH = 124  # columns; a redirected `dvc repro` has 80, which would cut intervals

Number = float | None
Item = TypeVar("Item")


def is_missing(value: Number) -> bool:
    """Whether a value is None or NaN."""
    return value is None or isnan(value)


def shortened(text: str, length: int) -> str:
    """Return the end of a long text, such as a path, in at most `length` characters."""
    return text if len(text) <= length else f"…{text[1 - length :]}"


def format_number(value: Number, digits: int = 3) -> str:
    """Format a score without its leading zero: ``.812``, ``−.050``; None and NaN give –."""
    if value is None or isnan(value):
        return MISSING
    size = f"{abs(value):.{digits}f}".removeprefix("0")
    return f"−{size}" if value < 0 and float(size) else size


def format_interval(value: Number, low: Number, high: Number, form: str = "{}\n{}–{}") -> str:
    """Format a score and the ends of its interval; without an interval the score alone."""
    numbers = (value, low, high)
    if any(map(is_missing, numbers)):
        return format_number(value)
    return form.format(*map(format_number, numbers))


def signed(value: Number) -> str:
    """Format a difference with its sign, unless it rounds to 0; None and NaN give –."""
    text = format_number(value)
    return text if text in (MISSING, ".000") or text.startswith("−") else f"+{text}"


def star(low: Number, high: Number) -> str:
    """Return a star if the interval of a difference excludes 0, else an empty text."""
    if low is None or high is None:
        return ""
    return " *" if low > 0 or high < 0 else ""


def format_difference(
    value: Number, low: Number, high: Number, form: str = "{0} ({1} to {2}){3}"
) -> str:
    """Format a difference, the ends of its interval, and a star if that excludes 0."""
    return form.format(signed(value), signed(low), signed(high), star(low, high))


def format_count(count: Number, missing: str = NOT_TRAINED) -> str:
    """Format a number of images; `missing` stands for None and NaN."""
    return missing if count is None or isnan(count) else f"{round(count):,}"


def format_limit(limit: float) -> str:
    """Format a limit T without its leading zero: ``.25``, ``.1``."""
    return f"{limit:g}".removeprefix("0")


def print_tables(*tables: RenderableType) -> None:
    """Print tables on a console that is wide enough for their columns."""
    console = Console()
    console.width = max(console.width, TABLE_WIDTH)
    console.print(*tables)


def tables_as_text(*tables: RenderableType) -> str:
    """Return what :func:`print_tables` prints, without colours and spaces at line ends."""
    console = Console(width=TABLE_WIDTH, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(*tables)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def progress(unit: str, **options: Any) -> Progress:
    """Return a progress bar with count, unit, elapsed and remaining time.

    Args:
        unit: what is counted; ``bytes`` shows sizes and the transfer speed.
        options: of :class:`rich.progress.Progress`.
    """
    counts = (
        (DownloadColumn(), TransferSpeedColumn())
        if unit == "bytes"
        else (MofNCompleteColumn(), TextColumn(unit))
    )
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    bar = BarColumn(bar_width=24)
    return Progress(TextColumn("{task.description}"), bar, *counts, *times, **options)


_WITHOUT_PROGRESS: ContextVar[bool] = ContextVar("without_progress", default=False)


@contextmanager
def without_progress() -> Iterator[None]:
    """Show no progress bars in the block, in this thread."""
    token = _WITHOUT_PROGRESS.set(True)
    try:
        yield
    finally:
        _WITHOUT_PROGRESS.reset(token)


def track(
    items: Iterable[Item],
    description: str,
    unit: str = "batches",
    total: int | None = None,
    **options: Any,
) -> Iterator[Item]:
    """Yield the items under a progress bar; `total` is needed for items without a length."""
    if _WITHOUT_PROGRESS.get():
        yield from items
        return
    with progress(unit, **options) as bar:
        yield from bar.track(items, total, description=description)


class TrainingProgress:
    """A progress bar over the steps, with a line per epoch."""

    def __init__(self, bar: Progress, backbone: str, steps: int, epochs: int) -> None:
        self._bar, self._backbone, self._epochs = bar, backbone, epochs
        self._task = bar.add_task(backbone, total=steps)

    def set_step(self, step: int) -> None:
        """Set the number of completed steps."""
        self._bar.update(self._task, completed=step)

    def step(self) -> None:
        """Advance the bar by a step."""
        self._bar.advance(self._task)

    def epoch(self, row: dict[str, float]) -> None:
        """Print loss and validation AUROC of an epoch."""
        self.print_line(
            f"epoch {row['epoch']:.0f}/{self._epochs}  loss {row['loss']:.3f}  "
            f"validation macro AUROC {row['validation_macro_auroc']:.3f}"
        )

    def print_line(self, line: str) -> None:
        """Print a line above the bar."""
        if not self._bar.disable:
            self._bar.console.print(f"{self._backbone} {line}", highlight=False)


@contextmanager
def training_progress(
    backbone: str, steps: int, epochs: int, silent: bool
) -> Iterator[TrainingProgress]:
    """Show a progress bar while the block runs, unless ``silent``."""
    with progress("steps", disable=silent) as bar:
        yield TrainingProgress(bar, backbone, steps, epochs)
