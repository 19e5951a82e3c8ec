"""The stages of dvc.yaml, one short script each: ``python -m stages.NAME --help``.

The path is set here, not by an installation, so that a stage inside ``dvc exp run --temp``
runs the code of that experiment's own checkout, not of the work tree it was started from.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from cxr14.errors import explain

CheckpointSeconds = Annotated[float, typer.Option(help="Between two checkpoints.")]
CHECKPOINT_SECONDS = 60.0


def run(main: Callable[..., None], description: str | None) -> None:
    """Run a stage as a command; an error that the user can fix is one line without a traceback."""
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    app.command(help=description)(main)
    try:
        app()
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        typer.secho(f"error: {sentence}", fg="red", err=True)
        raise SystemExit(1) from None
