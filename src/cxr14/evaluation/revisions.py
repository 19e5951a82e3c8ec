"""Comparison of the networks of the work tree with those of a git revision or a folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd

from cxr14.datasets.records import RECORDS, SOURCE, parse_source, read_records, read_source
from cxr14.errors import UserError, quote
from cxr14.evaluation.compare import (
    DIFFERENCE,
    Row,
    common_findings,
    difference_rows,
    few_patients,
    macro_values,
)
from cxr14.evaluation.measures import Predictions, predictions_of
from cxr14.evaluation.predictions import network_files, read_network, rows_of_test
from cxr14.labels import label_matrix
from cxr14.metrics.bootstrap import N_REPLICATES, SEED, draw_replicates

INDEX: Final = "data/cache/index.parquet"


class Files(Protocol):
    """Files of a run by their path from the root of the project."""

    name: str

    def has(self, path: str) -> bool:
        """Whether the run has a file."""

    def read(self, path: str) -> bytes:
        """Read a file.

        Raises:
            FileNotFoundError: the file is missing.
        """


class Folder:
    """A run in a folder: the work tree, a copy of a project, or a clone."""

    def __init__(self, folder: str) -> None:
        self.name = folder

    def has(self, path: str) -> bool:
        """Whether the folder has a file."""
        return Path(self.name, path).exists()

    def read(self, path: str) -> bytes:
        """Read a file.

        Raises:
            FileNotFoundError: the folder has no such file.
        """
        if not self.has(path):
            raise FileNotFoundError(f"{self.name} has no {path}; run the pipeline there")
        return Path(self.name, path).read_bytes()


class Revision:
    """A run of a git revision, read by DVC without a checkout.

    A commit, a branch, a tag, or an experiment by its name.
    """

    def __init__(self, revision: str, root: str = ".") -> None:
        """Open a revision.

        Raises:
            UserError: git has no such revision.
        """
        from dvc.api import DVCFileSystem  # slow import, needed by one command
        from dvc.repo import Repo
        from dvc.scm import SCMError, resolve_rev

        self.name = revision
        try:
            with Repo(root) as repo:
                commit = resolve_rev(repo.scm, revision)
        except SCMError:
            raise UserError(
                f"git has no revision {quote(revision)}; `git log --oneline` and `dvc exp show` "
                "list what there is"
            ) from None
        self._files = DVCFileSystem(root, rev=commit)

    def has(self, path: str) -> bool:
        """Whether the revision has a file, in DVC's cache or not."""
        from dvc_data.index import DataIndexDirError

        try:
            return bool(self._files.exists(path))
        except DataIndexDirError:  # its folder is not in the cache
            return True

    def read(self, path: str) -> bytes:
        """Read a file.

        Raises:
            FileNotFoundError: the revision has no such file, or DVC's cache does not.
        """
        from dvc_data.index import DataIndexDirError  # a folder that is not in the cache

        try:
            return bytes(self._files.read_bytes(path))
        except (FileNotFoundError, DataIndexDirError):
            message = f"{self.name} has no {path}; choose a revision that was evaluated"
            if self.has(path):
                message = (
                    f"{path} of {self.name} is not in DVC's cache; `dvc fetch` brings it from "
                    f"a remote, or a run of {self.name} makes it again"
                )
            raise FileNotFoundError(message) from None


def open_run(name: str) -> Files:
    """Open a folder that has predictions, else a git revision.

    Raises:
        UserError: there is neither.
    """
    return Folder(name) if Path(name, "predictions").is_dir() else Revision(name)


def read_table(files: Files, path: str) -> pd.DataFrame:
    """Read a parquet file of a run.

    Raises:
        FileNotFoundError: the file is missing.
        UserError: the file is damaged.
    """
    import pyarrow as pa

    try:
        return pd.read_parquet(BytesIO(files.read(path)))
    except (pa.ArrowException, ValueError) as error:
        raise UserError(
            f"{path} of {files.name} is damaged: no parquet file ({type(error).__name__})"
        ) from None


def read_object(files: Files, path: str) -> Any:
    """Read a JSON file of a run, see :func:`read_table`."""
    try:
        return json.loads(files.read(path))
    except ValueError:
        raise UserError(f"{path} of {files.name} is damaged: no JSON") from None


@dataclass(frozen=True)
class Run:
    """One network of one run.

    Attributes:
        rows: its predictions/B.parquet on test, sorted by image.
        decision: its evaluation/B/decision.json.
        records: all records of the run, by image.
    """

    rows: pd.DataFrame
    decision: dict[str, Any]
    records: pd.DataFrame

    def predictions(self, images: list[str]) -> Predictions:
        """Return the predictions for some images, in their order."""
        return predictions_of(self.rows.set_index("image").loc[images], self.decision)


def compare_predictions(
    reference: Files, backbones: Sequence[str], n_replicates: int = N_REPLICATES
) -> tuple[pd.DataFrame, list[str]]:
    """Compare networks of the work tree with those of the same name in another run.

    Returns:
        A row per backbone and measure (backbone, measure, here, there, difference = here − there,
        low, high, dropped_replicates, images, patients, findings, reason), and notes on what is
        not compared.

    Raises:
        FileNotFoundError: the run or DVC's cache lacks a file.
        UserError: there is no backbone or no image in common, or one run is of phantoms and the
            other is not.
    """
    shared = [name for name in backbones if reference.has(network_files(name)[0])]
    if not shared:
        raise UserError(f"{reference.name} has no predictions of {', '.join(backbones)}")
    source = parse_source(read_object(reference, SOURCE), f"{SOURCE} of {reference.name}")
    if read_source().phantom != source.phantom:
        raise UserError(
            f"one of {reference.name} and the work tree is of phantoms; nothing to compare"
        )
    records = [
        table.set_index("image") for table in (read_records(), read_table(reference, RECORDS))
    ]
    changed = changed_pixels(Folder("."), reference)
    rows: list[Row] = []
    noted: dict[str, list[str]] = {}
    for name in shared:
        ours = Run(*read_network(name), records[0])
        predictions, decision = network_files(name)
        theirs = Run(
            rows_of_test(read_table(reference, predictions)),
            read_object(reference, decision),
            records[1],
        )
        images, note = shared_images(ours, theirs)
        if n_changed := len(changed.intersection(images)):
            note += f"; {n_changed} of them have other pixels there"
        noted.setdefault(note, []).append(name)
        rows += [{"backbone": name, **row} for row in compare(ours, theirs, images, n_replicates)]
    absent = [f"{reference.name} has no {name}" for name in backbones if name not in shared]
    return pd.DataFrame(rows), [*(f"{', '.join(noted[note])}: {note}" for note in noted), *absent]


def changed_pixels(current: Files, reference: Files) -> set[str]:
    """Return the images of two runs whose files differ; none if a run has no cache of images."""
    if not (current.has(INDEX) and reference.has(INDEX)):
        return set()
    hashes = [read_table(run, INDEX).set_index("image")["sha256"] for run in (current, reference)]
    both = hashes[0].index.intersection(hashes[1].index)
    return set(both[hashes[0].loc[both].to_numpy() != hashes[1].loc[both].to_numpy()])


def shared_images(current: Run, reference: Run) -> tuple[list[str], str]:
    """Find the test images that have the same labels and patient in two runs.

    Returns:
        Their sorted names, and a note on how many images are compared and not compared.

    Raises:
        UserError: there are no such images.
    """
    names, reference_names = (run.rows["image"].tolist() for run in (current, reference))
    both = sorted(set(names) & set(reference_names))
    facts = [
        np.column_stack([label_matrix(run.records.loc[both]), run.records.loc[both, "patient"]])
        for run in (current, reference)
    ]
    same = (facts[0] == facts[1]).all(axis=1)
    images = [name for name, equal in zip(both, same, strict=True) if equal]
    counts = {
        "only here": len(names) - len(both),
        "only there": len(reference_names) - len(both),
        "with other labels or another patient": len(both) - len(images),
    }
    left = ", ".join(f"{count} {why}" for why, count in counts.items())
    if not images:
        raise UserError(f"the two runs share no test image with the same labels ({left})")
    return images, f"{len(images)} test images compared; not compared {left}"


def compare(
    current: Run, reference: Run, images: list[str], n_replicates: int = N_REPLICATES
) -> list[dict[str, Any]]:
    """Score two networks on the same images and replicates, a row per measure."""
    predictions = [run.predictions(images) for run in (current, reference)]
    records = current.records.loc[images]
    replicates = draw_replicates(
        records["patient"].to_numpy(), np.random.default_rng(SEED), n_replicates
    )
    findings = common_findings(predictions, records)
    few = few_patients(records, findings, replicates)
    values, reference_values = (
        macro_values(network, records, findings, replicates) for network in predictions
    )
    counts = {"images": len(images), "patients": len(replicates.counts)}
    return [
        {
            "measure": row["measure"],
            "here": values[row["measure"]][0],
            "there": reference_values[row["measure"]][0],
            **{key: row[key] for key in DIFFERENCE},
            **counts,
            "findings": len(findings[row["measure"]]),
            "reason": few[row["measure"]],
        }
        for row in difference_rows(values, reference_values, few)
    ]
