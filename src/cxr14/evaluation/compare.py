"""Comparisons of networks: between backbones, with another git revision, and curves."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import combinations
from typing import Any, Final

import numpy as np
import pandas as pd

from cxr14.datasets.records import RECORDS, SOURCE, parse_source, read_records, read_source
from cxr14.errors import UserError, quote
from cxr14.evaluation.measures import (
    MACRO,
    MEASURES,
    Predictions,
    predictions_of,
    sample_of,
    summary,
)
from cxr14.evaluation.predictions import network_files, read_network, rows_of_test
from cxr14.labels import NO_FINDING, label_matrix, without_no_finding
from cxr14.metrics.auroc import Array, Floats, scorable
from cxr14.metrics.bootstrap import N_REPLICATES, SEED, Replicates, draw_replicates
from cxr14.metrics.calibration import reliability_bins
from cxr14.metrics.curves import (
    precision_recall_points,
    roc_points,
    threshold_f1_points,
)


class Revision:
    """Files of a git revision, read by DVC without a checkout.

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

        self.revision = revision
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
        return bool(self._files.exists(path))

    def read(self, path: str) -> bytes:
        """Read a file.

        Raises:
            FileNotFoundError: the revision has no such file, or DVC's cache does not.
        """
        try:
            return bytes(self._files.read_bytes(path))
        except FileNotFoundError:
            message = f"{self.revision} has no {path}; choose a revision that was evaluated"
            if self.has(path):
                message = (
                    f"{path} of {self.revision} is not in DVC's cache; `dvc fetch` brings it from "
                    f"a remote, or a run of {self.revision} makes it again"
                )
            raise FileNotFoundError(message) from None

    def table(self, path: str) -> pd.DataFrame:
        """Read a parquet file, see :meth:`read`; a damaged one is a UserError."""
        import pyarrow as pa

        try:
            return pd.read_parquet(BytesIO(self.read(path)))
        except (pa.ArrowException, ValueError) as error:
            raise UserError(
                f"{path} of {self.revision} is damaged: no parquet file ({type(error).__name__})"
            ) from None

    def json(self, path: str) -> Any:
        """Read a JSON file, see :meth:`read`; a damaged one is a UserError."""
        try:
            return json.loads(self.read(path))
        except ValueError:
            raise UserError(f"{path} of {self.revision} is damaged: no JSON") from None


MEAN_MEASURES: Final = {f"{MACRO}_{item.name}": item for item in MEASURES if item.compared}
"""Measures whose means over findings are compared, by the name of the mean."""

DIFFERENCE: Final = ("difference", "low", "high", "dropped_replicates")

Row = dict[str, Any]


def difference_table(
    records: pd.DataFrame, predictions: Mapping[str, Predictions], replicates: Replicates
) -> pd.DataFrame:
    """Compare every pair of networks on the same replicates.

    Args:
        records: of the N test images, in the order of the predictions.
        predictions: by backbone.
        replicates: of their patients.

    Returns:
        A row per pair and measure: model_a, model_b, measure, difference (a − b), low, high,
        dropped_replicates (share that cannot score all findings; null without replicates, the
        images being of one patient), images, patients, findings (over which both means are).
    """
    findings = common_findings(list(predictions.values()), records)
    means = {
        name: macro_values(network, records, findings, replicates)
        for name, network in predictions.items()
    }
    rows = [
        {"model_a": model_a, "model_b": model_b, **row}
        for model_a, model_b in combinations(predictions, 2)
        for row in difference_rows(means[model_a], means[model_b])
    ]
    columns = ["model_a", "model_b", "measure", *DIFFERENCE]
    return pd.DataFrame(rows, columns=columns).assign(
        images=len(records), patients=len(replicates.counts), findings=len(findings)
    )


def difference_rows(first: Mapping[str, Floats], second: Mapping[str, Floats]) -> Iterator[Row]:
    """Yield the difference of each measure, (1 + R,) in both, with its interval."""
    for measure in MEAN_MEASURES:
        scores = summary(first[measure] - second[measure])
        yield {"measure": measure, **dict(zip(DIFFERENCE, scores, strict=True))}


def common_findings(predictions: Sequence[Predictions], records: pd.DataFrame) -> list[str]:
    """Return the findings that all networks predict and that have positives and negatives."""
    shared = [
        name
        for name in predictions[0].classes
        if all(name in network.classes for network in predictions)
    ]
    findings = without_no_finding(shared)
    labels = label_matrix(records, findings)
    return [name for name, column in zip(findings, labels.T, strict=True) if scorable(column)]


def macro_values(
    predictions: Predictions, records: pd.DataFrame, findings: Sequence[str], replicates: Replicates
) -> dict[str, Floats]:
    """Means over findings of the compared measures, each (1 + R,).

    NaN in a replicate that leaves one of the findings without positives or negatives.
    """
    if not findings:
        return dict.fromkeys(MEAN_MEASURES, np.full(replicates.counts.shape[1], np.nan))
    labels = label_matrix(records, findings)
    sample = sample_of(predictions.select(findings), labels, replicates)
    return {name: item.compute(sample).mean(axis=1) for name, item in MEAN_MEASURES.items()}


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


def compare_with_revision(
    revision: str, backbones: Sequence[str], n_replicates: int = N_REPLICATES
) -> tuple[pd.DataFrame, list[str]]:
    """Compare networks of the work tree with those of the same name in a revision.

    Returns:
        A row per backbone and measure (backbone, measure, here, there, difference = here − there,
        low, high, dropped_replicates, images, patients, findings), and notes on what is not
        compared.

    Raises:
        FileNotFoundError: the revision or DVC's cache lacks a file.
        UserError: there is no such revision, no backbone or no image in common, or one run is of
            phantoms and the other is not.
    """
    other_run = Revision(revision)
    shared = [name for name in backbones if other_run.has(network_files(name)[0])]
    if not shared:
        raise UserError(f"{revision} has no predictions of {', '.join(backbones)}")
    if (
        read_source().phantom
        != parse_source(other_run.json(SOURCE), f"{SOURCE} of {revision}").phantom
    ):
        raise UserError(f"one of {revision} and the work tree is of phantoms; nothing to compare")
    record_tables = read_records(), other_run.table(RECORDS)
    records = [table.set_index("image") for table in record_tables]
    rows: list[dict[str, Any]] = []
    noted: dict[str, list[str]] = {}
    for name in shared:
        ours = Run(*read_network(name), records[0])
        predictions, decision = network_files(name)
        theirs = Run(
            rows_of_test(other_run.table(predictions)), other_run.json(decision), records[1]
        )
        images, note = shared_images(ours, theirs)
        noted.setdefault(note, []).append(name)
        rows += [{"backbone": name, **row} for row in compare(ours, theirs, images, n_replicates)]
    absent = [f"{revision} has no {name}" for name in backbones if name not in shared]
    return pd.DataFrame(rows), [*(f"{', '.join(noted[note])}: {note}" for note in noted), *absent]


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
    values, reference_values = (
        macro_values(network, records, findings, replicates) for network in predictions
    )
    counts = {"images": len(images), "patients": len(replicates.counts), "findings": len(findings)}
    return [
        {
            "measure": row["measure"],
            "here": values[row["measure"]][0],
            "there": reference_values[row["measure"]][0],
            **{key: row[key] for key in DIFFERENCE},
            **counts,
        }
        for row in difference_rows(values, reference_values)
    ]


COMPARISON_POINTS: Final = 60
"""Largest number of points of a curve for `dvc plots`."""

AXES: Final = {
    "roc": ["false_positive_rate", "true_positive_rate"],
    "pr": ["recall", "precision"],
    "reliability": ["predicted", "observed"],
    "threshold_f1": ["threshold", "f1"],
}
"""Curves, and the columns on their axes."""

Curves = dict[str, pd.DataFrame]


def comparison_tables(records: pd.DataFrame, predictions: Mapping[str, Predictions]) -> Curves:
    """Compute the curves of all networks for `dvc plots`.

    ``macro`` is the mean of the findings' curves at equal false positive rates, recalls or
    thresholds; precision and F1 are interpolated by steps (Davis and Goadrich 2006). The macro
    reliability curve pools the predictions of all findings.

    Args:
        records: of the N test images, in the order of the predictions.
        predictions: by backbone.

    Returns:
        By name of AXES a table: backbone, finding, the axes; ``macro`` first, then the
        classes that can be scored. Reliability is of Platt-scaled probabilities.
    """
    tables_by_curve: dict[str, list[pd.DataFrame]] = {
        name: [pd.DataFrame(columns=["backbone", "finding", *axes])] for name, axes in AXES.items()
    }
    for backbone, network in predictions.items():
        for finding, curves in _curves_of(network, label_matrix(records, network.classes)):
            for name, curve in curves.items():
                tables_by_curve[name].append(curve.assign(backbone=backbone, finding=finding))
    return {
        name: pd.concat(tables[1:] or tables)[list(tables[0])]
        for name, tables in tables_by_curve.items()
    }


def _curves_of(predictions: Predictions, labels: Array) -> Iterator[tuple[str, Curves]]:
    """Yield the curves of ``macro`` and of each class of one network."""
    scored = [i for i in range(len(predictions.classes)) if scorable(labels[:, i])]
    full_curves = {i: _class_curves(predictions, labels, i) for i in scored}
    findings = [i for i in scored if predictions.classes[i] != NO_FINDING]
    if findings:
        yield (
            MACRO,
            {
                **_mean_curves([full_curves[i] for i in findings]),
                **_reliability(
                    labels[:, findings].ravel(), predictions.calibrated[:, findings].ravel()
                ),
            },
        )
    for i, curves in full_curves.items():
        yield predictions.classes[i], {name: thinned(curve, name) for name, curve in curves.items()}


def _class_curves(predictions: Predictions, labels: Array, column: int) -> Curves:
    labels_of_class, logits = labels[:, column], predictions.logits[:, column]
    probabilities = predictions.probabilities[:, column]
    return {
        "roc": pd.DataFrame(roc_points(labels_of_class, logits)),
        "pr": pd.DataFrame(precision_recall_points(labels_of_class, logits)),
        **_reliability(labels_of_class, predictions.calibrated[:, column]),
        "threshold_f1": pd.DataFrame(threshold_f1_points(labels_of_class, probabilities)),
    }


def _reliability(labels: Array, calibrated: Floats) -> Curves:
    """Return the reliability curve of the scaled probabilities, if there are any."""
    known = np.isfinite(calibrated)
    if not known.any():
        return {}
    return {"reliability": pd.DataFrame(reliability_bins(labels[known], calibrated[known]))}


def thinned(curve: pd.DataFrame, name: str) -> pd.DataFrame:
    """Keep at most 60 points of a curve, its ends and its highest point among them."""
    if len(curve) <= COMPARISON_POINTS:
        return curve
    top = int(np.argmax(curve[AXES[name][1]].to_numpy()))
    even = np.linspace(0, len(curve) - 1, COMPARISON_POINTS - 1).round().astype(int)
    return curve.iloc[np.union1d(even, top)]


def _mean_curves(curves: list[Curves]) -> Curves:
    """Mean of the findings' curves at 60 positions of the horizontal axis."""
    positions = np.linspace(0, 1, COMPARISON_POINTS)
    means = {}
    for name, height in (
        ("roc", _linear_heights),
        ("pr", _step_heights),
        ("threshold_f1", _step_heights),
    ):
        across, up = AXES[name]
        heights = [
            height(curves_of_class[name][across], curves_of_class[name][up], positions)
            for curves_of_class in curves
        ]
        means[name] = pd.DataFrame({across: positions, up: np.mean(heights, axis=0)})
    return means


def _linear_heights(
    across: "pd.Series[float]", up: "pd.Series[float]", positions: Floats
) -> Floats:
    """Heights of a rising curve; the highest of several points at one position."""
    highest = up.groupby(across).max()
    return np.interp(positions, highest.index.to_numpy(), highest.to_numpy())


def _step_heights(across: "pd.Series[float]", up: "pd.Series[float]", positions: Floats) -> Floats:
    """Heights at the first point at or right of each position; 0 right of the last."""
    return np.append(up.to_numpy(), 0.0)[np.searchsorted(across.to_numpy(), positions)]
