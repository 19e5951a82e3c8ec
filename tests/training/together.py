"""As a program under torch's launcher: the tiny network, trained by all processes together.

`frozen`: batch normalisation uses its running statistics, as torch synchronises it on GPUs alone,
and there is no dropout, which every process draws for itself: what is left has to be the same.
Its steps are of two batches, and their gradients are clipped.
`plain` and `averaged`: the network as it is, without and with an average of its weights.
"""

import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from cxr14.io import write_json
from cxr14.training.checkpoint import Checkpoint
from cxr14.training.distributed import Processes, process_group
from tests.training.tiny import CHANGES, RECIPE, make_loop, make_session, part, replace, tiny

PLAN = replace(RECIPE, augment=CHANGES, ema=0.9, schedule="plateau", warmup_fraction=0.0)
PLANS = {
    "frozen": replace(PLAN, accumulate=2, clip_norm=0.2),
    "averaged": PLAN,
    "plain": replace(PLAN, ema=0.0),
}
VAL = part(seed=2, count=51)
"""No multiple of two."""


class Frozen(nn.BatchNorm1d):
    """Stays in evaluation mode."""

    def train(self, mode: bool = True):
        return super().train(False)


def network():
    """The tiny one, without what differs between processes."""
    own = tiny()
    own.features[2] = Frozen(12)
    own.head[0] = nn.Identity()
    return own


def train(processes: Processes, folder: Path, on_step=lambda: None, kind="frozen"):
    """Train, from the checkpoint if there is one."""
    plan = PLANS[kind]
    checkpoint = Checkpoint(folder, "c", "run", seconds=0)
    own = {"train": part(count=48), "val": VAL, "weighting": "batch"}
    loop = make_loop(processes=processes, checkpoint=checkpoint, on_step=on_step, **own)
    session = make_session(network() if kind == "frozen" else tiny(), plan, 48)
    checkpoint.resume(session)
    return loop.run(session)


def main(folder: Path, victim: int, steps: int, kind: str = "frozen") -> None:
    """Train; the process `victim` kills itself after so many steps."""
    done = []

    def on_step() -> None:
        done.append(1)
        if processes.rank == victim and len(done) == steps:
            os.kill(os.getpid(), signal.SIGKILL)

    with process_group(2, "cpu") as processes:
        trained = train(processes, folder, on_step, kind)
        if processes.is_main:
            torch.save(trained.best_state, folder / "weights.pt")
            write_json(folder / "history.json", trained.history)


if __name__ == "__main__":
    import cxr14.training.engine

    cxr14.training.engine.METER_STEPS = 2
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
