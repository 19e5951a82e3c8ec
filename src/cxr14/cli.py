"""The command ``cxr14``. Imports that take long are inside the subcommands."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cxr14.errors import UserError, explain

ROOT_FILES = ("dvc.yaml", "params.yaml", ".dvc")
"""Files of the root of the repository; `chexnext` lacks the last."""

CHECKS = ("check-params", "check-outputs")
"""Stages whose outputs never change, so that none follows when they run again."""

DVC = (sys.executable, "-m", "dvc")

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


Names = Annotated[
    list[str] | None, typer.Argument(help="Of files in recipes/, laid over in this order.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Laid over last; repeatable.")
]


@app.command()
def use(
    names: Names = None,
    settings: Settings = None,
    show: Annotated[bool, typer.Option("--list", help="List the recipes.")] = False,
) -> None:
    """Set params.yaml to recipes: `cxr14 use folder smoke --set data.folder=/images`.

    Only the keys of the recipes change; comments and other keys stay. `cxr14 use phantom` gives
    back the last committed phantom params. Prints what changed and what `dvc repro` will run.
    """
    enter_project()
    if show or not (names or settings):
        print_recipes()
        return
    from cxr14.config.check import check_contents
    from cxr14.config.overlays import plan_params
    from cxr14.io import write_bytes

    planned = plan_params(names or [], settings or [])
    check_contents({file: after for file, (_, after) in planned.items()})
    for file, (before, after) in planned.items():
        if before != after:
            write_bytes(file, after.encode())
    if print_changes(planned):
        print_stale_stages()


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="Of the experiment.")],
    recipes: Names = None,
    settings: Settings = None,
    queue: Annotated[bool, typer.Option("--queue", help="Queue it; run nothing yet.")] = False,
) -> None:
    """Run recipes as a DVC experiment: `cxr14 run first-look folder smoke`.

    As `cxr14 use` and `dvc repro`, but in a temporary copy: params.yaml and the results in the
    work tree stay as they are. `dvc exp show` lists experiments, `dvc exp apply NAME` takes one.
    """
    enter_project()
    from cxr14.config.check import check_contents
    from cxr14.config.overlays import as_settings, differences, plan_params

    planned = plan_params(recipes or [], settings or [])
    check_contents({file: after for file, (_, after) in planned.items()})
    changes = [change for file, texts in planned.items() for change in differences(*texts, file)]
    words = [word for setting in as_settings(changes) for word in ("-S", setting)]
    where = "--queue" if queue else "--temp"
    raise typer.Exit(subprocess.call([*DVC, "exp", "run", where, "--name", name, *words]))


def print_recipes() -> None:
    """Print the name and the title of every recipe."""
    from rich.table import Table

    from cxr14.config.overlays import overlay_names, read_overlay
    from cxr14.console import print_tables

    table = Table("name", "recipe", box=None, pad_edge=False)
    for overlay in map(read_overlay, overlay_names()):
        table.add_row(overlay.name, overlay.title)
    print_tables(table)


def print_changes(planned: Mapping[str, tuple[str, str]]) -> bool:
    """Print the keys that change with their values; return whether any does."""
    from rich.table import Table

    from cxr14.config.overlays import differences
    from cxr14.console import print_tables

    changed = False
    for file, texts in planned.items():
        table = Table("key", "before", "now", title=file, title_justify="left")
        for _, key, before, after in differences(*texts, file):
            table.add_row(key, str(before), str(after))
        if table.rows:
            print_tables(table)
        changed |= texts[0] != texts[1]
    if not changed:
        typer.echo("nothing changes: params.yaml has these values already")
    return changed


def print_stale_stages() -> None:
    """Print what `dvc repro` will run, stages of all backbones as one."""
    counts = Counter(name.partition("@")[0] for name in stale_stages())
    names = [name if count == 1 else f"{name} ({count})" for name, count in counts.items()]
    stale = ", ".join(names) or "nothing"
    typer.echo(f"`dvc repro` will run: {stale}; DVC's run cache restores what has been run before")


def stale_stages() -> list[str]:
    """List the stages of dvc.yaml whose inputs have changed, and all that follow, in order."""
    from dvc.repo import Repo
    from networkx import topological_sort  # DVC's graph is one of networkx

    with Repo() as repo:
        changed, graph = repo.status(), repo.index.graph  # a stage points to those it needs
        stale: list[Any] = []
        for stage in reversed([*topological_sort(graph)]):
            follows = any(needed in stale for needed in graph.successors(stage))
            if stage.addressing not in CHECKS and (follows or stage.addressing in changed):
                stale.append(stage)
        return [stage.addressing for stage in stale if stage.path_in_repo == "dvc.yaml"]


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
