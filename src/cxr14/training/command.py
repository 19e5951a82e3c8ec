"""What every command that trains has in common: its processes, and how it ends."""

from collections.abc import Callable

import typer

from cxr14.training.ending import one_voice
from cxr14.training.interruption import InterruptedTrainingError
from cxr14.training.launcher import is_launched, launch


def carry_out(
    name: str, processes: int, module: str, arguments: list[str], job: Callable[[], float | None]
) -> None:
    """Train in this process, or in several that run the same command; say what came out.

    Args:
        name: of what is trained.
        processes: how many on this machine.
        module: of the command, for ``python -m``.
        arguments: of the command.
        job: trains, and returns the best macro AUROC on validation (None in all processes but
            the first).

    Raises:
        typer.Exit: with status 130, after a signal and one line.
    """
    if processes > 1 and not is_launched():
        launch(processes, module, *arguments)
    try:
        with one_voice():
            score = job()
    except InterruptedTrainingError as interruption:
        typer.secho(f"{interruption}", fg="yellow", err=True)
        raise typer.Exit(130) from None
    if score is not None:
        typer.echo(f"{name}: best validation macro AUROC {score:.3f}")
