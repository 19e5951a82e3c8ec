"""The alias ``champion`` of a registered model: when it moves, and the reason in one sentence.

It moves to the best model on validation if that model is ahead of the present champion by more
than the paired interval of the difference, or to the model that the user names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.console import format_difference, format_number
from cxr14.datasets.records import read_split, records_of
from cxr14.errors import UserError, quote
from cxr14.evaluation.compare import few_patients
from cxr14.evaluation.predictions import logit_columns, read_predictions
from cxr14.labels import label_matrix, without_no_finding
from cxr14.metrics.auroc import scorable, weighted_auroc_and_ap
from cxr14.metrics.bootstrap import N_REPLICATES, SEED, draw_replicates
from cxr14.metrics.intervals import summary
from cxr14.preprocessing.cache import open_cache, rows_of
from cxr14.tracking.artifacts import Trained
from cxr14.tracking.runs import IDENTITY

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
DATA, SCORE = "data_sha256", "validation_macro_auroc"

PREDICTIONS = "predictions"
"""Folder of a run's artifacts that holds predictions/B.parquet, for later comparisons."""

Candidate = tuple[Trained, str]
"""A trained model and its version."""


@dataclass(frozen=True)
class Decision:
    """The version that has the alias, and one sentence on why."""

    version: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """Macro AUROC on validation of a model minus that of the champion, paired by patient.

    Attributes:
        difference: in AUROC.
        low: lower end of its 95 % interval; None if there is none.
        high: upper end.
        patients: number of patients that are resampled.
        reason: why there is no interval, or None.
    """

    difference: float | None
    low: float | None
    high: float | None
    patients: int
    reason: str | None = None

    @property
    def ahead(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low is not None and self.low > 0

    def __str__(self) -> str:
        text = format_difference(self.difference, self.low, self.high, "{0} ({1} to {2})")
        scored = f"{text} in macro AUROC on validation, {self.patients:,} patients"
        return f"{scored}; {self.reason}" if self.reason else scored


def set_champion(
    client: "MlflowClient", model: str, current: Sequence[Candidate], requested: str | None = None
) -> Decision:
    """Set the alias, if the model that gets it reproduces its predictions.

    Args:
        client: of the store.
        model: name of the registered model.
        current: the evaluated models of the work tree, at least one.
        requested: name of the one that becomes champion, whatever its score.

    Raises:
        UserError: the model that would get the alias does not reproduce its predictions; the
            alias is then unchanged.
    """
    import mlflow

    alias = client.get_registered_model(model).aliases.get(CHAMPION)
    holder = None if alias is None else client.get_model_version(model, str(alias))
    if requested is not None:
        winner = next(pair for pair in current if pair[0].backbone == requested)
        reason = f"{_named(*winner)} is champion on request."
    elif holder is None:
        winner = best_of(current)
        score = format_number(winner[0].score)
        reason = (
            f"{_named(*winner)} is the first champion: best macro AUROC on validation, {score}."
        )
    else:
        chosen, reason = _compare_with(client, holder, current)
        if chosen is None:
            return Decision(str(holder.version), reason)
        winner = chosen
    trained, version = winner
    if str(alias) != version:
        check_agreement(mlflow.pyfunc.load_model(f"models:/{model}/{version}"), trained)
        client.set_registered_model_alias(model, CHAMPION, version)
    return Decision(version, reason)


def best_of(current: Sequence[Candidate]) -> Candidate:
    """Return the best model by macro AUROC on validation, among those with the most classes."""

    def sort_key(pair: Candidate) -> tuple[int, list[str], float, str]:
        classes = pair[0].model["classes"]
        return len(classes), classes, pair[0].score, pair[0].backbone

    return max(current, key=sort_key)


def check_promotable(trained: Sequence[Trained], name: str) -> None:
    """Raise UserError unless an evaluated model has the name."""
    names = [network.backbone for network in trained if network.evaluated]
    if name not in names:
        listed = f"choose one of {', '.join(names)}" if names else "none is; run `dvc repro`"
        raise UserError(f"--promote: {quote(name)} is not an evaluated model here; {listed}")


def _compare_with(
    client: "MlflowClient", holder: "ModelVersion", current: Sequence[Candidate]
) -> tuple[Candidate | None, str]:
    """Return the model that gets the alias, None if it stays with `holder`, and the reason.

    A training that evaluate has decided on again has a new version: it counts as the champion.
    """
    trained, version = best_of(current)
    same_training = [pair for pair in current if pair[0].identity == holder.tags.get(IDENTITY)]
    stays = same_training[0] if same_training else None
    named = _named(*stays) if stays else _named_version(holder)
    new = _named(trained, version)
    if stays == (trained, version):
        return stays, f"{named} stays champion: best macro AUROC on validation."
    if why := _no_comparison(holder, trained):
        return (trained, version), f"Champion moves from {named} to {new}: {why}."
    predictions = logged_predictions(client, holder, trained)
    if predictions is None:
        why = "its predictions on validation are not in the store, so no difference is known"
        return stays, f"{named} stays champion: {why}; `--promote {trained.backbone}` moves it."
    comparison = compare_on_validation(trained, predictions)
    if comparison.ahead:
        return (trained, version), f"Champion moves from {named} to {new}: {comparison}."
    why = f"{new} is not significantly ahead, {comparison}"
    if comparison.reason:
        why += f"; `--promote {trained.backbone}` moves it"
    return stays, f"{named} stays champion: {why}."


def _named(trained: Trained, version: str) -> str:
    return f"{trained.backbone} (version {version})"


def _named_version(version: "ModelVersion") -> str:
    return f"{version.tags.get('backbone', 'a model')} (version {version.version})"


def _no_comparison(holder: "ModelVersion", trained: Trained) -> str | None:
    """Return why a champion gives way without a comparison; None if it can be compared."""
    if holder.tags.get(DATA) != trained.hashes()[DATA]:
        return (
            "it was scored on other validation images, labels or classes, so the best model on "
            "the present ones replaces it"
        )
    return None if has_files(holder) else "its files are gone"


def has_files(version: "ModelVersion") -> bool:
    """Whether the files of a version exist; they may have been deleted without its record."""
    import mlflow

    return bool(mlflow.artifacts.list_artifacts(f"models:/{version.name}/{version.version}"))


def logged_predictions(
    client: "MlflowClient", holder: "ModelVersion", trained: Trained
) -> pd.DataFrame | None:
    """Read the champion's predictions from its run.

    Returns:
        The table, or None if the run has none, or none of the classes and images of `trained`.
    """
    file = f"{PREDICTIONS}/{holder.tags.get('backbone')}.parquet"
    run_id = str(holder.run_id)
    if file not in [item.path for item in client.list_artifacts(run_id, PREDICTIONS)]:
        return None
    expected = read_predictions(trained.predictions)[["image", "split"]]
    with TemporaryDirectory() as folder:
        path = client.download_artifacts(run_id, file, folder)
        try:
            return read_predictions(path, trained.model["classes"], expected)
        except UserError:
            return None


def compare_on_validation(
    trained: Trained, champion: pd.DataFrame, n_replicates: int = N_REPLICATES
) -> Comparison:
    """Compare the macro AUROC of a model and of the champion on the same validation images.

    Both are scored on the same bootstrap replicates of the patients. There is no interval with too
    few patients of a finding, as in every comparison of networks.

    Args:
        trained: the model.
        champion: predictions of the champion, for the same images and classes.
        n_replicates: number of replicates.
    """
    tables = (read_predictions(trained.predictions), champion)
    ours, theirs = (
        rows[rows["split"] == "val"].sort_values("image", ignore_index=True) for rows in tables
    )
    images = ours["image"].tolist()
    patients = read_split(trained.split).set_index("image")["patient"].loc[images].to_numpy()
    records = records_of(images, trained.records)
    findings = without_no_finding(trained.model["classes"])
    findings = [n for n in findings if scorable(label_matrix(records, [n])[:, 0])]
    n_patients = len(set(patients.tolist()))
    if not findings:
        return Comparison(None, None, None, n_patients)
    labels, columns = label_matrix(records, findings), logit_columns(findings)
    replicates = draw_replicates(patients, np.random.default_rng(SEED), n_replicates)
    means = [
        weighted_auroc_and_ap(labels, rows[columns].to_numpy(), *replicates)[0].mean(axis=1)
        for rows in (ours, theirs)
    ]
    reason = few_patients(records, {SCORE: findings}, replicates)[SCORE]
    values = means[0] - means[1]
    difference, low, high, _ = summary(values[:1] if reason else values)
    return Comparison(difference, low, high, n_patients, reason)


N_COMPARED = 8
"""Images on which a loaded model is compared with its predictions."""

TOLERANCE = 1e-4


class Loaded(Protocol):
    """A model loaded from the registry: a pyfunc."""

    def predict(self, data: npt.NDArray[np.uint8], params: dict[str, Any]) -> pd.DataFrame:
        """Score uint8 (B, S, S); columns as in model.json."""


AS_TRAINED = {"calibrated": False, "force": True}
"""Params of the registered model that return what predictions/B.parquet holds."""


def check_agreement(model: Loaded, trained: Trained) -> None:
    """Compare the probabilities of a loaded model with those of the pipeline, on a few images.

    They are the uncalibrated ones, also of an image that the input check refuses.

    Raises:
        UserError: they differ by more than TOLERANCE, or there are no predictions.
    """
    images, index = open_cache(trained.cache)
    expected = read_predictions(trained.predictions, trained.model["classes"])
    if expected.empty:
        raise UserError(f"{trained.predictions} is empty: {trained.backbone} cannot be checked")
    chosen = np.unique(np.linspace(0, len(expected) - 1, N_COMPARED).round().astype(int))
    few = expected.iloc[chosen]
    scored = model.predict(np.asarray(images[rows_of(index, few.image)]), AS_TRAINED)
    classes = trained.model["classes"]
    columns = [f"probability {name}" for name in classes]
    difference = np.abs(scored[classes].to_numpy() - few[columns].to_numpy())
    if not difference.max() <= TOLERANCE:  # also true for NaN
        row, column = np.unravel_index(
            np.argmax(np.nan_to_num(difference, nan=2)), difference.shape
        )
        raise UserError(
            f"{trained.backbone} as loaded back from the registry differs from "
            f"{trained.predictions} by {difference[row, column]:.2g} (allowed {TOLERANCE}) in "
            f"{classes[column]} of {few.image.iloc[row]}; champion stays as it was. Recompute with "
            f"`dvc repro evaluate@{trained.backbone}`"
        )
