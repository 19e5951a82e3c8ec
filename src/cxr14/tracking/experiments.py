"""One parent run per ``dvc exp``, with the trainings of that experiment below it.

A plain ``dvc repro`` has no parent: its runs stand at the top.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

NAME, BASELINE = "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"
KIND = "cxr14.kind"
PARENT = "dvc exp"


def nest(client: "MlflowClient", experiment: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tag that puts a run under its experiment's parent, making the parent if needed.

    Call it under the store's lock, so that trainings that begin together share one parent.

    Args:
        client: of the store.
        experiment: id of MLflow's experiment.
        tags: of the run; without DVC_EXP_NAME there is no parent, and nothing is returned.
    """
    if NAME not in tags:
        return {}
    own = {name: tags[name] for name in (NAME, BASELINE) if name in tags}
    for run in client.search_runs([experiment], f"tags.`{KIND}` = '{PARENT}'"):
        if {name: run.data.tags[name] for name in (NAME, BASELINE) if name in run.data.tags} == own:
            return {"mlflow.parentRunId": run.info.run_id}
    parent = client.create_run(experiment, tags={KIND: PARENT, **own}, run_name=tags[NAME])
    # A heading has no work of its own: finished at once, it is never left as "running".
    client.set_terminated(parent.info.run_id, "FINISHED")
    return {"mlflow.parentRunId": parent.info.run_id}
