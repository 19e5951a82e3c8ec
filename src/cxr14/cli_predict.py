"""The subcommand ``cxr14 predict``. Imports that take long are inside the functions."""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import chdir
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cxr14.errors import UserError
from cxr14.numerics import set_environment
from cxr14.project import project_root
from cxr14.serving.models import REGISTRY, ModelFiles, best_model, model_files

if TYPE_CHECKING:
    import pandas as pd

    from cxr14.report.predictions import Tables
    from cxr14.serving.predictor import Predictor
    from cxr14.serving.results import Batch

STEM_BYTES = 200
"""Maximum length of an image's name in that of an overlay; file systems allow 255 in all."""

Files = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE…|DIR|ARCHIVE|'GLOB'|-",
        help="PNG, JPEG or DICOM; folders and .tar, .tar.gz or .zip of them; - is stdin.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="models/alexnet, or models:/cxr14@champion of the MLflow registry. Default: the best "
        "on validation of those in models/.",
        show_default=False,
    ),
]
Heatmaps = Annotated[
    Path | None,
    typer.Option(
        metavar="OUT",
        help="Folder for an overlay (PNG) of each finding that is called, and boxes.csv.",
        show_default=False,
    ),
]
Findings = Annotated[
    list[str] | None,
    typer.Option(
        "--finding",
        metavar="NAME",
        help="With --heatmaps: overlay this finding on every image instead; repeatable.",
        show_default=False,
    ),
]
Csv = Annotated[bool, typer.Option("--csv", help="Print a row per image and finding as CSV.")]
Json = Annotated[bool, typer.Option("--json", help="Print a JSON object per image, one a line.")]
Decide = Annotated[
    bool, typer.Option("--decide", help="Only what is called: one row or object per image.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Score refused images too; the output says so.")
]


def predict(
    files: Files,
    model: Model = None,
    heatmaps: Heatmaps = None,
    findings: Findings = None,
    as_csv: Csv = False,
    as_json: Json = False,
    decide: Decide = False,
    force: Force = False,
) -> None:
    """Score chest radiographs: calibrated probabilities, and what is called.

    `cxr14 predict film.png` prints a table; `cxr14 predict scans/ --csv > scores.csv` a row per
    image and finding; `cxr14 predict film.dcm --heatmaps out` also draws where the heat is.

    Images are prepared exactly as in the pipeline. A finding is called at or above its threshold,
    which evaluate chose on validation (highest F1). What does not look like a frontal chest
    radiograph of the kind that the network was trained on is refused, with the reason; `--force`
    scores it nevertheless. No element of a DICOM is printed but codes of its format, for which it
    is refused or cannot be read. Names of files are printed.

    Results go to stdout; the model, its caution and files that cannot be read to stderr. The exit
    code is 1 if a file could not be read. Not a medical device.
    """
    if as_csv and as_json:
        raise UserError("--csv and --json exclude each other; give one of them")
    if findings and not heatmaps:
        raise UserError("--finding needs --heatmaps OUT, the folder for its overlays")
    with TemporaryDirectory() as folder:
        located = locate(model, Path(folder))
        set_environment(located.numerics)  # before NumPy and torch are imported
        from cxr14.serving.description import read_serving
        from cxr14.serving.input_check import InputCheck
        from cxr14.serving.predictor import Predictor

        description = read_serving(located.description)
        predictor = Predictor.load(located.folders, located.decision, description)
        check = InputCheck.load(located.input_check)
    overlays = None if heatmaps is None else Overlays(heatmaps, predictor, findings or ())
    printer = Printer(located.name, predictor, as_csv, as_json, decide)
    printer.announce("" if model else ", the best on validation")
    failed = 0
    try:
        for batch in batches(files, predictor, check, force, printer.streams):
            for failure in batch.failures:
                typer.secho(f"error: {failure.name}: {failure.reason}", fg="red", err=True)
            failed += len(batch.failures)
            printer.add(batch.table)
            if overlays:
                overlays.draw(batch)
    finally:
        printer.finish()  # also where an overlay cannot be written
    if overlays:
        overlays.finish()
    if failed:
        raise typer.Exit(1)


def locate(model: str | None, folder: Path) -> ModelFiles:
    """Return the files of a model; those of the registry are downloaded into the folder."""
    if model is None:
        return best_model(project_root())
    if model.startswith(REGISTRY):
        set_environment("fast")  # of NumPy, which mlflow imports; those of torch come later
        with chdir(project_root()):
            from cxr14.tracking.download import download_model

            return download_model(model, folder)
    path = Path(model)
    return model_files(model, path if path.exists() or path.is_absolute() else in_project(path))


def in_project(path: Path) -> Path:
    """Return a path below the root of the repository; the path itself outside of any."""
    try:
        return project_root() / path
    except UserError:
        return path


def batches(
    files: Iterable[str], predictor: "Predictor", check: Any, force: bool, streams: bool
) -> Iterator["Batch"]:
    """Read and score files in batches, under a progress bar on a terminal.

    Args:
        files: arguments of the user.
        predictor: network or ensemble.
        check: the InputCheck.
        force: whether to score refused images.
        streams: whether results go to stdout meanwhile; a bar would cut into them there.
    """
    from rich.console import Console

    from cxr14.console import progress
    from cxr14.serving.files import read_files
    from cxr14.serving.results import score_files

    read = read_files([*files], predictor.description.cached_size)
    console = Console(stderr=True)
    hidden = not console.is_terminal or (streams and sys.stdout.isatty())
    options = {"console": console, "transient": True, "disable": hidden}
    with progress("images", **options) as bar:
        task = bar.add_task("predict", total=None)
        for batch in score_files(predictor, check, read, force):
            bar.advance(task, len(batch.inputs) + len(batch.failures))
            yield batch


@dataclass
class Printer:
    """Prints results on stdout: CSV and JSON at once, tables at the end."""

    name: str
    predictor: "Predictor"
    as_csv: bool
    as_json: bool
    decide: bool
    has_header: bool = field(default=False, init=False)

    @property
    def streams(self) -> bool:
        """Whether results are printed at once."""
        return self.as_csv or self.as_json

    @cached_property
    def tables(self) -> "Tables":
        """The tables for the terminal."""
        from cxr14.report.predictions import Tables

        classes, description = len(self.predictor.classes), self.predictor.description
        return Tables(classes, self.name, description, self.decide)

    def announce(self, why: str) -> None:
        """Print the model and its caution on stderr."""
        from cxr14.report.predictions import headline

        typer.echo(headline(f"{self.name}{why}", self.predictor.description), err=True)

    def add(self, table: "pd.DataFrame") -> None:
        """Print the results of some images, or keep them for the table."""
        from cxr14.report.predictions import csv_rows, decision_rows, json_rows

        classes, header = len(self.predictor.classes), not self.has_header
        if self.as_json:
            for line in json_rows(table, classes, self.name, self.decide):
                typer.echo(line)
        elif self.as_csv:
            rows = decision_rows(table, classes, header) if self.decide else csv_rows(table, header)
            typer.echo(rows, nl=False)
            self.has_header = True
        else:
            self.tables.add(table)

    def finish(self) -> None:
        """Print the tables of the terminal."""
        from cxr14.console import print_tables

        if not self.streams and (tables := self.tables.lay_out()):
            print_tables(*tables)


@dataclass
class Overlays:
    """Writes OUT/IMAGE-FINDING.png for pairs of image and finding, and OUT/boxes.csv."""

    folder: Path
    predictor: "Predictor"
    findings: Iterable[str]
    names: Counter[str] = field(default_factory=Counter)
    boxes: list["pd.DataFrame"] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        """Check the findings and make the folder, before anything is scored."""
        self.findings = [*self.findings]
        if unknown := [name for name in self.findings if name not in self.predictor.findings]:
            allowed = ", ".join(self.predictor.findings)
            raise UserError(f"--finding {unknown[0]}: no finding of this model; allowed: {allowed}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"--heatmaps {self.folder}: no folder can be made there ({error.strerror}); name "
                f"a new or existing folder"
            ) from None

    def draw(self, batch: "Batch") -> None:
        """Compute and draw the heatmaps of a batch."""
        from cxr14.figures.prediction import write_overlay
        from cxr14.serving.results import pairs_to_explain

        source, scaling = self.predictor.description.of_source, self.predictor.scaling()
        pairs = pairs_to_explain(batch, self.predictor, [*self.findings])
        if not len(pairs):
            return
        import numpy as np

        images = np.stack([item.shrunk.pixels for item in batch.inputs])
        grids = self.predictor.heatmaps(images, pairs)
        for position in range(len(pairs)):
            pair, grid = pairs.iloc[[position]], grids[[position]]
            boxes = self.predictor.detect(pair, grid)
            file = self._file(pair["image"].iloc[0], pair["finding"].iloc[0])
            image = images[pair["row"].iloc[0]]
            write_overlay(self.folder / file, image, pair.iloc[0], grid, boxes, source, scaling)
            forced = int(pair["forced"].iloc[0])
            self.boxes.append(boxes.assign(forced=forced, overlay=file))
        self.count += len(pairs)

    def _file(self, image: str, finding: str) -> str:
        """Name an overlay; equal names of images in several folders are numbered."""
        stem = Path(re.sub(r"[^\w.-]", "_", Path(image).name)).stem
        name = f"{stem.encode()[:STEM_BYTES].decode(errors='ignore')}-{finding}"
        self.names[name] += 1
        return f"{name}-{self.names[name]}.png" if self.names[name] > 1 else f"{name}.png"

    def finish(self) -> None:
        """Write the boxes, and print where everything is."""
        import pandas as pd

        from cxr14.datasets.records import write_table
        from cxr14.localization.heatmaps import DETECTION_COLUMNS

        source = self.predictor.description.of_source
        empty = pd.DataFrame(columns=[*DETECTION_COLUMNS, "forced", "overlay"])
        boxes = pd.concat(self.boxes, ignore_index=True) if self.boxes else empty
        write_table(self.folder / "boxes.csv", boxes, source)
        typer.echo(f"{self.folder}: {self.count} overlay(s), and boxes.csv", err=True)
