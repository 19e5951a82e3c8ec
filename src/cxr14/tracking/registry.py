"""The registered model ``cxr14``: a version per trained backbone, and the alias ``champion``.

An ensemble has a registered model of its own: its validation score is of other labels on phantoms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cxr14.tracking.agreement import check_agreement
from cxr14.tracking.artifacts import Trained
from cxr14.tracking.packaging import log_model
from cxr14.tracking.reconcile import reconcile_run
from cxr14.tracking.runs import GIT_COMMIT, IDENTITY
from cxr14.tracking.store import connect, lock, store_errors
from cxr14.wording import PHANTOM_NOTE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

MODEL = "cxr14"
CHAMPION = "champion"
DATA, SCORE = "data_sha256", "validation_macro_auroc"
ABOUT = "A probability for each finding, and for No Finding, of grey chest radiographs."


@dataclass(frozen=True)
class Registered:
    """A trained backbone as MLflow holds it; ``version`` is None until it is evaluated."""

    trained: Trained
    run_id: str
    version: str | None
    champion: bool


def register(trained: Sequence[Trained], model: str = MODEL) -> list[Registered]:
    """Complete the runs, register what is new, and put ``champion`` on the best.

    Idempotent: a second call adds nothing, and a deleted store is restored.

    Args:
        trained: what is there.
        model: name of the registered model.

    Raises:
        StoreError: the store cannot be used.
        UserError: an artifact is damaged or of other data, or the model that would become
            champion does not reproduce its predictions; the alias then stays where it was.
    """
    for one in trained:
        one.check()
    client, experiment = connect()
    with lock(), store_errors():
        runs = [reconcile_run(client, experiment, one) for one in trained]
        versions = [
            _version(client, experiment, model, one, run_id) if one.evaluated else None
            for one, run_id in zip(trained, runs, strict=True)
        ]
        current = [(t, v) for t, v in zip(trained, versions, strict=True) if v is not None]
        champion = _crown(client, model, current) if current else None
    return [
        Registered(one, run_id, version, champion is not None and version == champion)
        for one, run_id, version in zip(trained, runs, versions, strict=True)
    ]


def _version(
    client: "MlflowClient", experiment: str, model: str, trained: Trained, run_id: str
) -> str:
    """Return the version that holds this model and decision, registering it if there is none."""
    content = {IDENTITY: trained.identity, **trained.hashes()}
    _create_registered_model(client, model)
    where = f"name = '{model}' and tags.`{IDENTITY}` = '{trained.identity}'"
    for version in client.search_model_versions(where):
        if content.items() <= version.tags.items():
            if _has_files(version):
                return str(version.version)
            client.delete_model_version(model, version.version)
    return _add_version(client, experiment, model, trained, run_id, content)


def _create_registered_model(client: "MlflowClient", model: str) -> None:
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model, description=ABOUT)


def _has_files(version: "ModelVersion") -> bool:
    """Whether the model is still there; the records may outlive a deleted folder."""
    import mlflow

    return bool(mlflow.artifacts.list_artifacts(f"models:/{version.name}/{version.version}"))


def _add_version(
    client: "MlflowClient",
    experiment: str,
    model: str,
    trained: Trained,
    run_id: str,
    content: dict[str, str],
) -> str:
    run = client.get_run(run_id).data.tags
    tags = content | {
        "backbone": trained.backbone,
        "source": trained.model["source"],
        "phantom": str(trained.model["phantom"]).lower(),
        SCORE: str(trained.score),
        "git_commit": run.get(GIT_COMMIT, "unknown"),
        "experiment": run.get("DVC_EXP_NAME", "workspace"),
    }
    model_id = log_model(client, experiment, trained, run_id, tags)
    about = f"{trained.backbone}. {PHANTOM_NOTE if trained.model['phantom'] else ''}".strip()
    version = client.create_model_version(
        model, f"models:/{model_id}", run_id, tags=tags, description=about, model_id=model_id
    )
    return str(version.version)


def _crown(client: "MlflowClient", model: str, current: list[tuple[Trained, str]]) -> str:
    """Put the alias on the best validated version, once that version has proved itself.

    A better one that is champion already, from another experiment on the same data, stays while it
    can be loaded; scores on other data or of other classes cannot be compared, so a champion of
    those makes way. If the trained models themselves differ in classes, those with the most are
    compared.
    """
    import mlflow

    def place(pair: tuple[Trained, str]) -> tuple[int, list[str], float, str]:
        classes = pair[0].model["classes"]
        return len(classes), classes, pair[0].score, pair[0].backbone

    trained, version = max(current, key=place)
    alias = client.get_registered_model(model).aliases.get(CHAMPION)
    if alias is not None:
        holder = client.get_model_version(model, str(alias))
        comparable = holder.tags.get(DATA) == trained.hashes()[DATA]
        if comparable and float(holder.tags[SCORE]) > trained.score and _has_files(holder):
            return str(alias)
    if str(alias) != version:
        check_agreement(mlflow.pyfunc.load_model(f"models:/{model}/{version}"), trained)
        client.set_registered_model_alias(model, CHAMPION, version)
    return version
