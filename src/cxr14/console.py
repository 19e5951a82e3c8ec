"""How scores, and the caution about phantoms, are written: the same wherever they appear."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import isnan

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PHANTOM_NOTE = "phantom radiographs: says nothing about patients"
NOT_TRAINED = "not trained"


def format_number(value: float | None, digits: int = 3) -> str:
    """Write a score ≥ 0 without its leading zero, as the literature prints it; – for null."""
    return "–" if value is None else f"{value:.{digits}f}".removeprefix("0")


def signed(value: float | None) -> str:
    """Write a difference with its sign, unless it rounds to 0; – for null and NaN."""
    if value is None or isnan(value):
        return "–"
    size = format_number(abs(value))
    return size if size == ".000" else ("−" if value < 0 else "+") + size


def star(low: float, high: float) -> str:
    """Mark an interval of a difference that leaves 0 out; nothing for one that holds it."""
    return " *" if low > 0 or high < 0 else ""


def format_count(images: int | None) -> str:
    """Write how many images show a finding; null says that the network does not know it."""
    return NOT_TRAINED if images is None else str(images)


# What a training shows on the terminal.


class TrainingProgress:
    """A progress bar over the steps, and a line per epoch."""

    def __init__(self, bar: Progress, backbone: str, steps: int, epochs: int) -> None:
        self._bar, self._backbone, self._epochs = bar, backbone, epochs
        self._task = bar.add_task(backbone, total=steps)

    def set_step(self, step: int) -> None:
        """Move the bar to where a training goes on."""
        self._bar.update(self._task, completed=step)

    def step(self) -> None:
        """Move the bar."""
        self._bar.advance(self._task)

    def epoch(self, row: dict[str, float]) -> None:
        """Write the line of an epoch."""
        self.print_line(
            f"epoch {row['epoch']:.0f}/{self._epochs}  loss {row['loss']:.3f}  "
            f"validation macro AUROC {row['validation_macro_auroc']:.3f}"
        )

    def print_line(self, line: str) -> None:
        """Write a line above the bar."""
        if not self._bar.disable:
            self._bar.console.print(f"{self._backbone} {line}", highlight=False)


@contextmanager
def training_progress(
    backbone: str, steps: int, epochs: int, silent: bool
) -> Iterator[TrainingProgress]:
    """Show a bar while the block runs; a silent one shows nothing."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, TextColumn("steps"), TimeRemainingColumn(), disable=silent)
    with bar:
        yield TrainingProgress(bar, backbone, steps, epochs)
