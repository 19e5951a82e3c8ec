"""Number formats and the progress bar of the console."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import isnan

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

NOT_TRAINED = "not trained"


def format_number(value: float | None, digits: int = 3) -> str:
    """Format a score ≥ 0 without its leading zero; None gives –."""
    return "–" if value is None else f"{value:.{digits}f}".removeprefix("0")


def signed(value: float | None) -> str:
    """Format a difference with its sign, unless it rounds to 0; None and NaN give –."""
    if value is None or isnan(value):
        return "–"
    size = format_number(abs(value))
    return size if size == ".000" else ("−" if value < 0 else "+") + size


def star(low: float, high: float) -> str:
    """Return a star if the interval of a difference excludes 0, else an empty text."""
    return " *" if low > 0 or high < 0 else ""


def format_count(images: int | None) -> str:
    """Format the number of images with a finding; None means a class that is not trained."""
    return NOT_TRAINED if images is None else str(images)


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
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, TextColumn("steps"), TimeRemainingColumn(), disable=silent)
    with bar:
        yield TrainingProgress(bar, backbone, steps, epochs)
