"""Networks of the work tree beside those of an earlier run, on the images that both answered."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import combinations
from typing import Any, Final

import numpy as np
import pandas as pd

from cxr14.datasets.records import RECORDS, SOURCE, read_records, read_source
from cxr14.errors import UserError, quote
from cxr14.evaluation.measures import (
    MACRO,
    Answers,
    answers_of,
    network_files,
    on_test,
    read_network,
    summary,
)
from cxr14.labels import NO_FINDING, label_matrix, without_no_finding
from cxr14.metrics.auroc import Array, Floats, scorable
from cxr14.metrics.bootstrap import N_REPLICATES, SEED, Replicates, draw_replicates, sort_scores
from cxr14.metrics.curves import (
    precision_recall_points,
    reliability_points,
    roc_points,
    threshold_f1_points,
)

# The files of an earlier run, as git and DVC keep them; nothing is checked out.


class Earlier:
    """One revision of a repository: a commit, a branch, a tag, or an experiment by its name."""

    def __init__(self, revision: str, root: str = ".") -> None:
        """Open a revision.

        Raises:
            UserError: git knows no such revision.
        """
        from dvc.api import DVCFileSystem  # half a second, and one command alone needs it
        from dvc.repo import Repo
        from dvc.scm import SCMError, resolve_rev

        self.revision = revision
        try:
            with Repo(root) as repo:
                commit = resolve_rev(repo.scm, revision)
        except SCMError:
            raise UserError(
                f"git knows no revision {quote(revision)}; `git log --oneline` and `dvc exp show` "
                "list what there is"
            ) from None
        self._files = DVCFileSystem(root, rev=commit)

    def has(self, path: str) -> bool:
        """Whether the revision lists a file, be it in DVC's cache or not."""
        return bool(self._files.exists(path))

    def read(self, path: str) -> bytes:
        """Read a file.

        Raises:
            FileNotFoundError: the revision has no such file, or DVC's cache does not.
        """
        try:
            return bytes(self._files.read_bytes(path))
        except FileNotFoundError:
            told = f"{self.revision} has no {path}; choose a revision that was evaluated"
            if self.has(path):
                told = (
                    f"{path} of {self.revision} is not in DVC's cache; `dvc fetch` brings it from "
                    f"a remote, or a run of {self.revision} makes it again"
                )
            raise FileNotFoundError(told) from None

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


# Differences between networks on the same resamples of the same patients.
#
# Two scores move together from resample to resample: patients that are hard for one network are
# hard for the other. So the interval is of the difference, and is narrower than the two scores'
# own.


RANKED: Final = ("macro_auroc", "macro_average_precision")

DIFFERENCE: Final = ("difference", "low", "high", "left_out")

Row = dict[str, Any]


def difference_table(
    records: pd.DataFrame, answers: Mapping[str, Answers], resamples: Replicates
) -> pd.DataFrame:
    """Compare every pair of networks.

    Args:
        records: of the N test images, in the order of the answers.
        answers: by backbone.
        resamples: of their patients.

    Returns:
        A row per pair and measure: first, second, measure, difference (first − second), low, high,
        left_out (share of resamples that cannot score all findings; null where there are none, the
        images being of one patient), images, patients, findings (over which both means are).
    """
    findings = common_findings(list(answers.values()), records)
    means = {name: macro_values(own, records, findings, resamples) for name, own in answers.items()}
    rows = [
        {"first": one, "second": other, **row}
        for one, other in combinations(answers, 2)
        for row in difference_rows(means[one], means[other])
    ]
    columns = ["first", "second", "measure", *DIFFERENCE]
    return pd.DataFrame(rows, columns=columns).assign(
        images=len(records), patients=len(resamples.counts), findings=len(findings)
    )


def difference_rows(one: Mapping[str, Floats], other: Mapping[str, Floats]) -> Iterator[Row]:
    """Yield the difference of each measure, (1 + R,) in both, with its interval."""
    for measure in RANKED:
        scores = summary(one[measure] - other[measure])
        yield {"measure": measure, **dict(zip(DIFFERENCE, scores, strict=True))}


def common_findings(answers: Sequence[Answers], records: pd.DataFrame) -> list[str]:
    """Return the findings that all networks know and that some images have and some have not."""
    shared = [name for name in answers[0].classes if all(name in own.classes for own in answers)]
    findings = without_no_finding(shared)
    labels = label_matrix(records, findings)
    return [name for name, own in zip(findings, labels.T, strict=True) if scorable(own)]


def macro_values(
    answers: Answers, records: pd.DataFrame, findings: Sequence[str], resamples: Replicates
) -> dict[str, Floats]:
    """Mean AUROC and mean average precision over findings, each (1 + R,).

    NaN in a resample that leaves one of the findings without positives or negatives.
    """
    if not findings:
        return dict.fromkeys(RANKED, np.full(resamples.counts.shape[1], np.nan))
    labels, logits = label_matrix(records, findings), answers.of(findings)
    rankings = [sort_scores(own, scores) for own, scores in zip(labels.T, logits.T, strict=True)]
    blocks = [
        np.array([ranking.auroc_and_ap(weights) for ranking in rankings])  # (F, 2, w)
        for weights in resamples.by_image()
    ]
    means = np.concatenate(blocks, axis=2).mean(axis=0)  # (2, 1 + R)
    return dict(zip(RANKED, means, strict=True))


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

    def answers(self, images: list[str]) -> Answers:
        """Return its answers for some of its images, in their order."""
        return answers_of(self.rows.set_index("image").loc[images], self.decision)


def compare_with(
    revision: str, backbones: Sequence[str], resamples: int = N_REPLICATES
) -> tuple[pd.DataFrame, list[str]]:
    """Compare networks of the work tree with those of the same name in a revision.

    Returns:
        A row per backbone and measure (backbone, measure, here, there, difference = here − there,
        low, high, left_out, images, patients, findings), and what is not compared, in words.

    Raises:
        FileNotFoundError: the revision or DVC's cache lacks a file.
        UserError: there is no such revision, no backbone or no image in common, or one run is of
            phantoms and the other is not.
    """
    earlier = Earlier(revision)
    both = [name for name in backbones if earlier.has(network_files(name)[0])]
    if not both:
        raise UserError(f"{revision} has no predictions of {', '.join(backbones)}")
    if read_source()["phantom"] != earlier.json(SOURCE)["phantom"]:
        raise UserError(f"one of {revision} and the work tree is of phantoms; nothing to compare")
    both_records = read_records(), earlier.table(RECORDS)
    records = [table.set_index("image") for table in both_records]
    rows: list[dict[str, Any]] = []
    told: dict[str, list[str]] = {}
    for name in both:
        here = Run(*read_network(name), records[0])
        predictions, decision = network_files(name)
        there = Run(on_test(earlier.table(predictions)), earlier.json(decision), records[1])
        images, note = shared_images(here, there)
        told.setdefault(note, []).append(name)
        rows += [{"backbone": name, **row} for row in compare(here, there, images, resamples)]
    absent = [f"{revision} has no {name}" for name in backbones if name not in both]
    return pd.DataFrame(rows), [*(f"{', '.join(told[note])}: {note}" for note in told), *absent]


def shared_images(here: Run, there: Run) -> tuple[list[str], str]:
    """Find the test images that two runs have with the same labels and patient.

    Returns:
        Them, sorted, and how many they are and how many are not compared, in words.

    Raises:
        UserError: there are none.
    """
    own, other = (run.rows["image"].tolist() for run in (here, there))
    both = sorted(set(own) & set(other))
    facts = [
        np.column_stack([label_matrix(run.records.loc[both]), run.records.loc[both, "patient"]])
        for run in (here, there)
    ]
    same = (facts[0] == facts[1]).all(axis=1)
    images = [name for name, alike in zip(both, same, strict=True) if alike]
    counts = {
        "only here": len(own) - len(both),
        "only there": len(other) - len(both),
        "with other labels or another patient": len(both) - len(images),
    }
    left = ", ".join(f"{count} {why}" for why, count in counts.items())
    if not images:
        raise UserError(f"the two runs share no test image with the same labels ({left})")
    return images, f"{len(images)} test images compared; not compared {left}"


def compare(
    here: Run, there: Run, images: list[str], resamples: int = N_REPLICATES
) -> list[dict[str, Any]]:
    """Score two networks on the same images under the same resamples, a row per measure."""
    answers = [run.answers(images) for run in (here, there)]
    records = here.records.loc[images]
    drawn = draw_replicates(records["patient"].to_numpy(), np.random.default_rng(SEED), resamples)
    findings = common_findings(answers, records)
    one, other = (macro_values(own, records, findings, drawn) for own in answers)
    counts = {"images": len(images), "patients": len(drawn.counts), "findings": len(findings)}
    return [
        {
            "measure": row["measure"],
            "here": one[row["measure"]][0],
            "there": other[row["measure"]][0],
            **{key: row[key] for key in DIFFERENCE},
            **counts,
        }
        for row in difference_rows(one, other)
    ]


# Curves of all networks in one table each, for `dvc plots`, few enough points to draw.
#
# Beside each finding stands ``macro``, the mean of the findings' curves: true positive rates at
# equal false positive rates, precisions at equal recalls, F1 at equal thresholds (by steps: a line
# between points of a precision-recall curve is too high, Davis and Goadrich 2006). Its reliability
# curve is of all findings' answers together.


COMPARISON_POINTS: Final = 60
AXES: Final = {
    "roc": ["false_positive_rate", "true_positive_rate"],
    "pr": ["recall", "precision"],
    "reliability": ["predicted", "observed"],
    "threshold_f1": ["threshold", "f1"],
}
"""Curves, and the columns on their axes."""

Curves = dict[str, pd.DataFrame]


def comparison_tables(
    records: pd.DataFrame, answers: Mapping[str, Answers], phantom: bool
) -> Curves:
    """Draw up the curves of all networks.

    Args:
        records: of the N test images, in the order of the answers.
        answers: by backbone.
        phantom: whether pixels are simulated; a column, from which the plot takes its note.

    Returns:
        By name of AXES a table: backbone, finding, the axes, phantom (0 or 1); ``macro`` first,
        then the classes that can be scored. Reliability is of Platt-scaled probabilities.
    """
    parts: dict[str, list[pd.DataFrame]] = {
        name: [pd.DataFrame(columns=["backbone", "finding", *axes])] for name, axes in AXES.items()
    }
    for backbone, own in answers.items():
        for finding, curves in _curves_of(own, label_matrix(records, own.classes)):
            for name, curve in curves.items():
                parts[name].append(curve.assign(backbone=backbone, finding=finding))
    return {
        name: pd.concat(tables[1:] or tables)[list(tables[0])].assign(phantom=int(phantom))
        for name, tables in parts.items()
    }


def _curves_of(answers: Answers, labels: Array) -> Iterator[tuple[str, Curves]]:
    """Yield the curves of ``macro`` and of each class of one network."""
    known = [i for i in range(len(answers.classes)) if scorable(labels[:, i])]
    whole = {i: _class_curves(answers, labels, i) for i in known}
    findings = [i for i in known if answers.classes[i] != NO_FINDING]
    if findings:
        yield (
            MACRO,
            {
                **_mean_curves([whole[i] for i in findings]),
                **_reliability(
                    labels[:, findings].ravel(), answers.calibrated[:, findings].ravel()
                ),
            },
        )
    for i, curves in whole.items():
        yield answers.classes[i], {name: thinned(curve, name) for name, curve in curves.items()}


def _class_curves(answers: Answers, labels: Array, column: int) -> Curves:
    own, logits = labels[:, column], answers.logits[:, column]
    return {
        "roc": roc_points(own, logits),
        "pr": precision_recall_points(own, logits),
        **_reliability(own, answers.calibrated[:, column]),
        "threshold_f1": threshold_f1_points(own, answers.probabilities[:, column]),
    }


def _reliability(labels: Array, calibrated: Floats) -> Curves:
    """Return the reliability curve of the answers that could be scaled, if there are any."""
    known = np.isfinite(calibrated)
    if not known.any():
        return {}
    return {"reliability": reliability_points(labels[known], calibrated[known])}


def thinned(curve: pd.DataFrame, name: str) -> pd.DataFrame:
    """Keep at most 60 points of a curve, its ends and its highest point among them."""
    if len(curve) <= COMPARISON_POINTS:
        return curve
    top = int(np.argmax(curve[AXES[name][1]].to_numpy()))
    even = np.linspace(0, len(curve) - 1, COMPARISON_POINTS - 1).round().astype(int)
    return curve.iloc[np.union1d(even, top)]


def _mean_curves(curves: list[Curves]) -> Curves:
    """Mean of the findings' curves over 60 places of the horizontal axis."""
    places = np.linspace(0, 1, COMPARISON_POINTS)
    made = {}
    for name, height in (("roc", _on_lines), ("pr", _on_steps), ("threshold_f1", _on_steps)):
        across, up = AXES[name]
        heights = [height(own[name][across], own[name][up], places) for own in curves]
        made[name] = pd.DataFrame({across: places, up: np.mean(heights, axis=0)})
    return made


def _on_lines(across: "pd.Series[float]", up: "pd.Series[float]", places: Floats) -> Floats:
    """Heights of a rising curve; of several points above each other the highest."""
    highest = up.groupby(across).max()
    return np.interp(places, highest.index.to_numpy(), highest.to_numpy())


def _on_steps(across: "pd.Series[float]", up: "pd.Series[float]", places: Floats) -> Floats:
    """Heights at the first point at or right of each place; 0 right of the last."""
    return np.append(up.to_numpy(), 0.0)[np.searchsorted(across.to_numpy(), places)]
