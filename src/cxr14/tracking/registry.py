"""The registered model ``cxr14``: a version per trained backbone.

An ensemble has a registered model of its own, because on phantoms its validation labels differ.
"""

import importlib.metadata
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

import cxr14
from cxr14.datasets.records import PHANTOM_NOTE
from cxr14.errors import explain
from cxr14.models.published import note_on
from cxr14.models.timm_backbones import is_timm
from cxr14.serving.description import write_description
from cxr14.tracking import (
    DECISION_ARTIFACT,
    INPUT_CHECK_ARTIFACT,
    MODEL_ARTIFACT,
    SERVING_ARTIFACT,
)
from cxr14.tracking.artifacts import Trained, read_trained
from cxr14.tracking.champion import PREDICTIONS, SCORE, check_promotable, has_files, set_champion
from cxr14.tracking.runs import (
    GIT_COMMIT,
    IDENTITY,
    NAME,
    create_run,
    describe,
    dvc_tags,
    find_origin,
    find_runs,
    log_metrics,
    nest,
)
from cxr14.tracking.signature import example, signature
from cxr14.tracking.store import StoreError, check_location, connect, lock, store_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient


REBUILT = "cxr14.rebuilt"

CARDS = "cards"
"""Folder of the model card and the data card among the artifacts of a run."""


def sync_run(client: "MlflowClient", experiment: str, trained: Trained) -> str:
    """Sync the run of a trained model with its artifacts; create it if it is missing.

    Returns:
        The id of the finished run with all epochs, metrics, plots and predictions.
    """
    run_id = _only_run(client, experiment, trained) or _rebuild(client, experiment, trained)
    check_location(client.get_run(run_id).info.artifact_uri)
    _sync_history(client, run_id, trained)
    known = client.get_run(run_id).data.metrics
    new = {name: value for name, value in trained.metrics().items() if known.get(name) != value}
    log_metrics(client, run_id, new)
    _tag(client, run_id, trained.hashes())
    for stage, path in trained.metric_files():
        client.log_artifact(run_id, str(path), f"metrics/{stage}")
    for stage, folder in trained.plots():
        client.log_artifacts(run_id, str(folder), f"plots/{stage}")
    if trained.evaluated:
        client.log_artifact(run_id, str(trained.predictions), PREDICTIONS)
    for card in trained.cards():
        client.log_artifact(run_id, str(card), CARDS)
    if client.get_run(run_id).info.status != "FINISHED":
        client.set_terminated(run_id, "FINISHED")
    return run_id


def _only_run(client: "MlflowClient", experiment: str, trained: Trained) -> str | None:
    """Return the run of this identity, preferably a finished one; delete duplicates."""
    runs = find_runs(client, experiment, trained.identity)
    runs.sort(key=lambda run: run.info.status != "FINISHED")
    for double in runs[1:]:
        client.delete_run(double.info.run_id)
    return str(runs[0].info.run_id) if runs else None


def _tag(client: "MlflowClient", run_id: str, tags: dict[str, str]) -> None:
    from mlflow.entities import RunTag

    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])


def _rebuild(client: "MlflowClient", experiment: str, trained: Trained) -> str:
    model = trained.model
    description = trained.backbone, model["source"], model["phantom"]
    tags = describe(trained.script, *description) | dvc_tags()
    if NAME not in tags:
        tags |= find_origin(trained.backbone)
    tags |= nest(client, experiment, tags)
    tags |= {"DVC_STAGE": trained.stage, REBUILT: "true"}
    return create_run(client, experiment, trained.identity, trained.backbone, model["params"], tags)


def _sync_history(client: "MlflowClient", run_id: str, trained: Trained) -> None:
    """Log the epochs that are missing in the run."""
    logged = {metric.step for metric in client.get_metric_history(run_id, "loss")}
    for row in trained.history():
        step = int(row.pop("epoch"))
        if step not in logged:
            log_metrics(client, run_id, row, step)


REQUIRED = (
    "filelock",
    "isal",
    "kornia-rs",
    "mlflow",
    "numpy",
    "pandas",
    "pillow",
    "psutil",
    "pyarrow",
    "pydantic",
    "pydantic-core",
    "pydicom",
    "python-gdcm",
    "pyyaml",
    "rich",
    "ruamel.yaml",
    "safetensors",
    "scipy",
    "torch",
    "torchvision",
)
"""Requirements of the registered model; MLflow would load it to infer them."""


def requirements(trained: Trained) -> list[str]:
    """Return the requirements of a registered model; timm only for its networks."""
    networks = [read_trained(folder)["backbone"] for folder in trained.folders]
    packages = (*REQUIRED, "timm") if any(map(is_timm, networks)) else REQUIRED
    return [f"{package}=={importlib.metadata.version(package)}" for package in packages]


def log_model(
    client: "MlflowClient", experiment: str, trained: Trained, run_id: str, tags: dict[str, str]
) -> str:
    """Log code, weights and all that predictions need as a model of the run; return its id."""
    import mlflow
    from mlflow.entities import LoggedModelOutput

    name = trained.backbone.replace(":", "_")  # MLflow allows no colon
    model = mlflow.initialize_logged_model(
        name, source_run_id=run_id, experiment_id=experiment, tags=tags
    )
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Operation with range")  # by MLflow with pandas 3
        mlflow.pyfunc.log_model(
            model_id=model.model_id,
            name=name,
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts=artifacts(trained, Path(folder)),
            code_paths=[str(Path(cxr14.__file__).parent)],
            pip_requirements=requirements(trained),
            signature=signature(trained.model["classes"], len(trained.folders) > 1),
            input_example=example(),
        )
    client.log_outputs(run_id, models=[LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_id)


def artifacts(trained: Trained, folder: Path) -> dict[str, str]:
    """Return the files and folders of a registered model by name.

    Args:
        trained: the model.
        folder: for the description of serving, which an ensemble has in no file.
    """
    description = folder / "serving.json"
    write_description(description, trained.serving())
    return network_artifacts(trained.folders) | {
        DECISION_ARTIFACT: str(trained.decision),
        SERVING_ARTIFACT: str(description),
        INPUT_CHECK_ARTIFACT: str(trained.input_check),
    }


def network_artifacts(folders: Sequence[Path]) -> dict[str, str]:
    """Return the folders by artifact name: ``model``, or ``model 00`` … of an ensemble."""
    if len(folders) == 1:
        return {MODEL_ARTIFACT: str(folders[0])}
    return {f"{MODEL_ARTIFACT} {index:02d}": str(folder) for index, folder in enumerate(folders)}


MODEL = "cxr14"
"""Name of the registered model of single backbones."""

ABOUT = "A probability for each finding, and for No Finding, of grey chest radiographs."


@dataclass(frozen=True)
class Registered:
    """A trained backbone in MLflow; ``version`` is None until it is evaluated."""

    trained: Trained
    run_id: str
    version: str | None
    champion: bool


@dataclass(frozen=True)
class Registration:
    """The registered models, and a sentence on the champion; none if no model is evaluated."""

    models: list[Registered]
    champion: str = ""


def phantom_note(trained: Trained) -> str:
    """Return the note for a model of simulated images; empty for real ones."""
    return PHANTOM_NOTE if trained.model["phantom"] else ""


def register(
    trained: Sequence[Trained], model: str = MODEL, promote: str | None = None
) -> Registration:
    """Sync the runs, register new versions, and set ``champion`` (:func:`set_champion`).

    A second call adds nothing. A deleted store is restored.

    Args:
        trained: backbones or ensembles.
        model: name of the registered model.
        promote: name of the model that becomes champion; None leaves it to the comparison.

    Raises:
        StoreError: the store cannot be used.
        UserError: an artifact is damaged or of other data, no evaluated model has the name
            `promote`, or the model that would become champion does not reproduce its
            predictions; the alias is then unchanged.
    """
    if promote is not None:
        check_promotable(trained, promote)
    for network in trained:
        network.check()
    client, experiment = connect()
    with lock(), store_errors():
        runs = [sync_run(client, experiment, network) for network in trained]
        versions = [
            _version(client, experiment, model, network, run_id) if network.evaluated else None
            for network, run_id in zip(trained, runs, strict=True)
        ]
        current = [(t, v) for t, v in zip(trained, versions, strict=True) if v is not None]
        decision = set_champion(client, model, current, promote) if current else None
    holder, reason = (decision.version, decision.reason) if decision else ("", "")
    models = [
        Registered(network, run_id, version, version == holder)
        for network, run_id, version in zip(trained, runs, versions, strict=True)
    ]
    return Registration(models, reason)


def _version(
    client: "MlflowClient", experiment: str, model: str, trained: Trained, run_id: str
) -> str:
    """Return the version of this model and decision; register it if there is none."""
    content = {IDENTITY: trained.identity, **trained.hashes()}
    _create_registered_model(client, model)
    where = f"name = '{model}' and tags.`{IDENTITY}` = '{trained.identity}'"
    for version in client.search_model_versions(where):
        if content.items() <= version.tags.items():
            if has_files(version):
                return str(version.version)
            client.delete_model_version(model, version.version)
    return _add_version(client, experiment, model, trained, run_id, content)


def _create_registered_model(client: "MlflowClient", model: str) -> None:
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model, description=ABOUT)


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
    notes = [phantom_note(trained), note_on(trained.model.get("initial_weights"))]
    notes += [f"Model card: {CARDS}/{card.name} of the run." for card in trained.cards()[:1]]
    sentences = [f"{note[0].upper()}{note[1:].removesuffix('.')}." for note in notes if note]
    description = " ".join([f"{trained.backbone}.", *sentences])
    version = client.create_model_version(
        model, f"models:/{model_id}", run_id, tags=tags, description=description, model_id=model_id
    )
    return str(version.version)


BestEffort = Annotated[
    bool, typer.Option("--best-effort", help="Only warn if MLflow's store cannot be used.")
]
Promote = Annotated[
    str | None, typer.Option("--promote", metavar="NAME", help="Make this model champion.")
]


def register_or_warn(
    trained: Sequence[Trained], model: str, command: str, promote: str | None = None
) -> Registration:
    """Register; if the store cannot be used, print a warning and return no models.

    Args:
        trained: backbones or ensembles.
        model: name of the registered model.
        command: shell command that registers later, for the warning.
        promote: see :func:`register`.

    Raises:
        UserError: an artifact is wrong, or a model does not reproduce its predictions.
    """
    try:
        return register(trained, model, promote)
    except StoreError as error:
        print(
            f"warning: nothing is registered: {explain(error)}; all artifacts are complete, and "
            f"`{command}` registers them once the store can be used (`dvc repro` does not do it "
            f"again)",
            file=sys.stderr,
        )
        return Registration([])
