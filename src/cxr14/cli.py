"""The command ``cxr14``. Imports that take long are inside the subcommands."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cxr14.cli_predict import predict
from cxr14.errors import UserError, explain
from cxr14.project import project_root

if TYPE_CHECKING:
    from cxr14.serving.onnx_export import Exported

CHECKS = ("check-params", "check-outputs")
"""Stages whose outputs never change, so that none follows when they run again."""

DVC = (sys.executable, "-m", "dvc")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


app.command()(predict)


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


@app.command(name="app")
def start_app(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen on.")] = 8501,
    model: Annotated[
        str | None, typer.Option(help="Chosen first: models/BACKBONE or models:/NAME@ALIAS.")
    ] = None,
) -> None:
    """Serve the app for predictions on radiographs in the browser until Ctrl-C."""
    enter_project()
    from cxr14.app.launcher import serve

    raise typer.Exit(serve(host, port, model))


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


@app.command()
def export(
    backbone: Annotated[str, typer.Argument(help="Name of a trained backbone.")],
    output: Annotated[
        Path | None, typer.Option(help="File to write.", show_default="export/BACKBONE.onnx")
    ] = None,
    register: Annotated[
        bool, typer.Option(help="Log the file to the version in MLflow, if there is one.")
    ] = True,
) -> None:
    """Write a trained backbone as ONNX, with preprocessing and calibration in the graph.

    The file is compared with torch on all test images first, on 2,000 if there are more: it is only
    written if every logit agrees to 0.0001. Needs the extra `onnx`. Metadata: classes, thresholds,
    hashes.
    """
    written = output.absolute() if output else None  # before the working directory changes
    enter_project()
    from cxr14.datasets.records import SPLIT, read_split
    from cxr14.io import write_bytes
    from cxr14.preprocessing.cache import open_cache
    from cxr14.serving.models import file_stem
    from cxr14.serving.onnx_export import check_installed, read_trained, rows_of_test
    from cxr14.serving.onnx_export import export as export_onnx
    from cxr14.tracking.artifacts import find_trained
    from cxr14.tracking.exported import log_onnx

    check_installed()
    (artifacts,) = find_trained([backbone])
    trained = read_trained(artifacts.folders[0], artifacts.decision)
    images, index = open_cache(artifacts.cache)
    exported = export_onnx(trained, images[rows_of_test(index, read_split(SPLIT))])
    file = written or Path("export") / f"{file_stem(backbone)}.onnx"
    write_bytes(file, exported.content)
    version, warning = None, None
    try:
        version = log_onnx(artifacts, file, exported.sha256) if register else None
    except (UserError, OSError) as error:  # the file is written already
        warning = f"warning: {file} is not logged to MLflow: {explain(error)}"
    print_exported(file, exported, trained.description["phantom"], version)
    if warning:
        typer.secho(warning, fg="yellow", err=True)


def print_exported(file: Path, exported: "Exported", phantom: bool, version: str | None) -> None:
    """Print the table of an exported file."""
    from rich.table import Table

    from cxr14.console import print_tables
    from cxr14.datasets.records import PHANTOM_NOTE

    columns = ("file", "MB", "opset", "max |Δlogit|", "test images", "MLflow version")
    table = Table(*columns, title="ONNX")
    table.caption = PHANTOM_NOTE if phantom else None
    megabytes = f"{len(exported.content) / 1e6:.1f}"
    difference, images = f"{exported.difference:.1e}", f"{exported.compared:,}"
    table.add_row(str(file), megabytes, str(exported.opset), difference, images, version or "none")
    print_tables(table)


def enter_project() -> None:
    """Make the root of the repository the working directory, from any folder inside it.

    Raises:
        UserError: the working directory is outside of a cxr14 repository.
    """
    os.chdir(project_root())


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
