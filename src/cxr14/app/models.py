"""The models that the app offers; networks are loaded once and shared by all sessions."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import streamlit as st

from cxr14.app.launcher import MODEL
from cxr14.errors import UserError
from cxr14.models.serialization import load_model
from cxr14.serving.all_backbones import NAME as ALL
from cxr14.serving.all_backbones import decide_together, describe_together
from cxr14.serving.description import read_serving
from cxr14.serving.input_check import InputCheck
from cxr14.serving.models import REGISTRY, ModelFiles, model_files, served_backbones
from cxr14.serving.predictor import Member, Predictor


class Model(NamedTuple):
    """A predictor, and the check of its input."""

    predictor: Predictor
    input_check: InputCheck


def offered() -> list[str]:
    """List the names of the models, the one that was requested first.

    Raises:
        UserError: there is none.
    """
    names = served_backbones()
    if len(names) > 1:
        names.append(ALL)
    if requested := os.environ.get(MODEL):
        name = requested.removeprefix("models/").rstrip("/")
        names = [name, *(other for other in names if other != name)]
    if not names:
        raise UserError("no network is trained and evaluated; run `dvc repro serving` first")
    return names


@st.cache_resource(show_spinner=False)
def model_of(name: str) -> Model:
    """Load a model by the name that :func:`offered` gives it.

    Raises:
        UserError: there is no such model, or a file is missing or damaged.
    """
    if name.startswith(REGISTRY):
        from cxr14.tracking.download import download_model  # imports MLflow

        with TemporaryDirectory() as folder:
            return _load(download_model(name, Path(folder)))
    if name != ALL:
        return _load(model_files(name, Path("models", name)))
    names = served_backbones()
    files = model_files(names[0], Path("models", names[0]))
    members = [network_of(Path("models", backbone).absolute()) for backbone in names]
    decision = decide_together(names, members[0][1]["classes"])
    description = describe_together(read_serving(files.description))
    return Model(Predictor(members, decision, description), InputCheck.load(files.input_check))


def _load(files: ModelFiles) -> Model:
    description = read_serving(files.description)
    predictor = Predictor.load(files.folders, files.decision, description, network_of)
    return Model(predictor, InputCheck.load(files.input_check))


@st.cache_resource(show_spinner=False)
def network_of(folder: Path) -> Member:
    """Load a network; a backbone and the ensemble share it."""
    return load_model(folder)
