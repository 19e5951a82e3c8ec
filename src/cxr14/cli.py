"""The command ``cxr14``. Imports that take long are inside the subcommands."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cxr14.errors import UserError, explain

ROOT_FILES = ("dvc.yaml", "params.yaml", ".dvc")
"""Files of the root of the repository; `chexnext` lacks the last."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


@app.callback()
def describe() -> None:
    """Reproducible machine learning on NIH ChestX-ray14."""


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen on.")] = 5000,
) -> None:
    """Serve MLflow's pages for the store of this repository until Ctrl-C."""
    enter_project()
    from cxr14.tracking.ui import serve

    raise typer.Exit(serve(host, port))


@app.command()
def layers(backbone: Annotated[str, typer.Argument(help="Name of a backbone.")]) -> None:
    """List the layers of a backbone that `train.freeze` counts, and their parameters."""
    from rich.console import Console
    from rich.table import Table

    from cxr14.models.backbones import build_features
    from cxr14.models.network import layers_with_weights

    features, _ = build_features(backbone)
    table = Table("train.freeze", "layer", "kind", "parameters", "frozen", box=None)
    frozen = 0
    for number, name in enumerate(layers_with_weights(features), 1):
        layer = features.get_submodule(name)
        count = sum(weights.numel() for weights in layer.parameters())
        frozen += count
        kind = type(layer).__name__
        table.add_row(str(number), name or backbone, kind, f"{count:,}", f"{frozen:,}")
    Console().print(table)


def enter_project() -> None:
    """Make the root of the repository the working directory, from any folder inside it.

    Raises:
        UserError: the working directory is outside of a cxr14 repository.
    """
    start = Path.cwd()
    for folder in (start, *start.parents):
        if all((folder / name).exists() for name in ROOT_FILES):
            os.chdir(folder)
            return
    raise UserError(
        f"{start} is not inside a cxr14 repository (no folder above it holds "
        f"{', '.join(ROOT_FILES)}); change to the repository first"
    )


def main() -> None:
    """Run the command; an error that the user can fix is one line without a traceback."""
    try:
        app()
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        typer.secho(f"error: {sentence}", fg="red", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
