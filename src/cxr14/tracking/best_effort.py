"""Registering as the last stage of a pipeline, which a broken MLflow store must not fail."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from cxr14.errors import explain
from cxr14.tracking.artifacts import Trained
from cxr14.tracking.preflight import StoreError
from cxr14.tracking.registry import Registered, register

BestEffort = Annotated[
    bool, typer.Option("--best-effort", help="Only warn if MLflow's store cannot be used.")
]


def register_or_warn(trained: Sequence[Trained], model: str, command: str) -> list[Registered]:
    """Register; if the store cannot be used, warn and return nothing registered.

    Args:
        trained: what is there.
        model: name of the registered model.
        command: what registers later.

    Raises:
        UserError: an artifact is wrong, or a model does not reproduce its predictions.
    """
    try:
        return register(trained, model)
    except StoreError as error:
        print(
            f"warning: nothing is registered: {explain(error)}; all artifacts are complete, and "
            f"`{command}` registers them once the store can be used (`dvc repro` does not do it "
            f"again)",
            file=sys.stderr,
        )
        return []
