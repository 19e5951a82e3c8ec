"""What a training shows on the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Screen:
    """A progress bar over the steps, and a line per epoch."""

    def __init__(self, bar: Progress, backbone: str, steps: int, epochs: int) -> None:
        self._bar, self._backbone, self._epochs = bar, backbone, epochs
        self._task = bar.add_task(backbone, total=steps)

    def start_at(self, step: int) -> None:
        """Move the bar to where a training goes on."""
        self._bar.update(self._task, completed=step)

    def step(self) -> None:
        """Move the bar."""
        self._bar.advance(self._task)

    def epoch(self, row: dict[str, float]) -> None:
        """Write the line of an epoch."""
        self.say(
            f"epoch {row['epoch']:.0f}/{self._epochs}  loss {row['loss']:.3f}  "
            f"validation macro AUROC {row['validation_macro_auroc']:.3f}"
        )

    def say(self, line: str) -> None:
        """Write a line above the bar."""
        if not self._bar.disable:
            self._bar.console.print(f"{self._backbone} {line}", highlight=False)


@contextmanager
def screen(backbone: str, steps: int, epochs: int, silent: bool) -> Iterator[Screen]:
    """Show a bar while the block runs; a silent one shows nothing."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, TextColumn("steps"), TimeRemainingColumn(), disable=silent)
    with bar:
        yield Screen(bar, backbone, steps, epochs)
