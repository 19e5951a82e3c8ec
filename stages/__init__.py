"""The stages of dvc.yaml, one short script each: ``python -m stages.NAME --help``.

The path is set here, not by an installation, so that a stage inside ``dvc exp run --temp``
runs the code of that experiment's own checkout, not of the work tree it was started from.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from cxr14.config.blocks import Numerics, read_numerics
from cxr14.errors import QUOTED, MissingFileError, UserError, explain, printable
from cxr14.labels import check_name
from cxr14.numerics import set_environment


def _numerics() -> Numerics:
    """Return the key `numerics`; portable if params.yaml is invalid, as its check will report."""
    try:
        return read_numerics()
    except UserError:
        return "portable"


set_environment(_numerics())  # before a stage imports NumPy or torch

CheckpointSeconds = Annotated[float, typer.Option(min=0, help="Between two checkpoints.")]
CHECKPOINT_SECONDS = 60.0

Backbone = Annotated[str, typer.Option(help="Name in train.backbones.", callback=check_name)]
"""It becomes part of paths, so its characters are checked."""

ROOT_FILE = Path("dvc.yaml")

USAGE_ERROR = typer.BadParameter.__bases__[0]  # typer has no other name for it


def check_all_params(chexnext: bool = False) -> None:
    """Check all params before long work starts; with `chexnext` also those of that pipeline.

    The module is imported by name, so that no stage depends on it and runs again after a change to
    the params of another stage. It does not change results.
    """
    check = import_module("cxr14.config.check")
    check.check_params()
    if chexnext:
        check.check_chexnext()


def run(main: Callable[..., None], description: str | None) -> None:
    """Run a stage as a command; an error that the user can fix is one line without a traceback."""
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    app.command(help=description)(main)
    try:
        code = app(standalone_mode=False)
    except Exception as error:
        if isinstance(error, USAGE_ERROR):
            _fail(_usage_error(error), 2)
        sentence = explain(error)
        if sentence is None:
            raise
        if isinstance(error, MissingFileError | FileNotFoundError) and not ROOT_FILE.exists():
            sentence += (
                f"; {Path.cwd()} is not the root of the repository (it has no {ROOT_FILE}), and "
                f"stages run there"
            )
        _fail(sentence, 1)
    else:
        raise SystemExit(code or 0)


def _usage_error(error: Exception) -> str:
    """Return what is wrong with the command line; it may quote a word of any length."""
    format_message: Callable[[], str] = getattr(error, "format_message", error.__str__)
    message = printable(format_message())
    cut = f"{message[:QUOTED]}… ({len(message)} characters)"
    return f"{message if len(message) <= 2 * QUOTED else cut} (--help lists the options)"


def _fail(sentence: str, code: int) -> None:
    typer.secho(f"error: {sentence}", fg="red", err=True)
    raise SystemExit(code) from None
