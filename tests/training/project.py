"""A small project on disk, as the stages before `train` leave it, and a `train` that can be killed.

As a program: the stage `train`, which ends itself by a signal after a number of steps.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from cxr14.io import write_json, write_npy, write_parquet
from cxr14.labels import LABEL_COLUMNS

ROOT = Path(__file__).resolve().parents[2]
SIDE, IMAGES = 64, 48


def write_project(**changes) -> None:
    """48 images of noise for train and as many for val, alexnet; `changes` are of block train."""
    rng = np.random.default_rng(1)
    count = 2 * IMAGES
    names = [f"{number:02d}.png" for number in range(count)]
    write_npy("data/cache/images.npy", rng.integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8))
    write_parquet("data/cache/index.parquet", pd.DataFrame({"row": range(count), "image": names}))
    labels = pd.DataFrame(
        rng.integers(0, 2, (count, 15)).astype(np.uint8), columns=[*LABEL_COLUMNS]
    )
    labels.insert(0, "image", names)
    write_parquet("data/records/images.parquet", labels.assign(has_pixels=True))
    write_json(
        "data/records/source.json", {"source": "phantom", "phantom": True, "official_split": False}
    )
    parts = ["train"] * IMAGES + ["val"] * IMAGES
    split = pd.DataFrame({"image": names, "patient": range(count), "split": parts})
    write_parquet("data/split/split.parquet", split)
    write_json("data/pretrained/alexnet/source.json", {"weights": "none"})
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["train"] |= {"backbones": ["alexnet"], "input_size": SIDE, "epochs": 4}
    params["train"] |= {"batch_size": 8, "overrides": {}} | changes
    Path("params.yaml").write_text(yaml.safe_dump(params))


def main(number: int, steps: int) -> None:
    """Run the stage; after so many steps of this process send it a signal (0: never)."""

    def end() -> None:
        os.kill(os.getpid(), number)

    run_stage(end, steps)


def run_stage(happening, steps: int) -> None:
    """Run the stage; after so many steps of this process something happens (0: never)."""
    from cxr14.console import TrainingProgress
    from stages import run, train

    import cxr14.tracking.runs  # isort: skip

    cxr14.tracking.runs.start_run = lambda *args, **facts: None  # MLflow takes seconds
    own_step, done = TrainingProgress.step, []

    def step(screen: TrainingProgress) -> None:
        own_step(screen)
        done.append(1)
        if len(done) == steps:
            happening()

    TrainingProgress.step = step
    sys.argv = ["train", "--backbone=alexnet", "--checkpoint-seconds=0"]
    run(train.main, None)


if __name__ == "__main__":
    main(signal.Signals[sys.argv[1]], int(sys.argv[2]))
