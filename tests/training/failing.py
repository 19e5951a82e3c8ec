"""As a program: the stage `train` in two processes, one of which comes to harm after some steps."""

import os
import signal
import sys
import time
from pathlib import Path

from tests.training.project import run_stage

STEPS = 3


def harm(kind: str) -> None:
    """Let the second process come to harm, and the first notice it or not."""
    first = os.environ["RANK"] == "0"
    if kind == "unnoticed" and first:
        time.sleep(600)  # stands for a sum on GPUs, which notices nothing
    if first:
        return
    Path("when").write_text(str(time.time()))
    if kind in ("error", "unnoticed"):
        from cxr14.models.backbones import check_backbone

        check_backbone("nonet", "harm")  # one of our sentences
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "orphan":
        os.kill(os.getppid(), signal.SIGKILL)
    if kind == "terminate":  # the launcher, as DVC or a batch system does
        os.kill(os.getppid(), signal.SIGTERM)


if __name__ == "__main__":
    import cxr14.training.distributed
    import cxr14.training.engine

    cxr14.training.engine.METER_STEPS = 2
    launch, arguments = cxr14.training.distributed.launch, sys.argv[1:]
    cxr14.training.distributed.launch = lambda count, *_: launch(
        count, "tests.training.failing", *arguments
    )
    run_stage(lambda: harm(arguments[0]), STEPS)
