"""Predict the logits of one network for every image of the cache.

    python -m stages.chexnext.predict --group members --backbone alexnet --seed 0

Reads chexnext/models/GROUP/B-SEED, data/cache, params.yaml (evaluate).
Writes chexnext/logits/GROUP/B-SEED.npy, float32 (N, C) in the order of the cache.
"""

from typing import Annotated

import numpy as np
import typer

from cxr14.chexnext.paths import Group, NetworkPaths
from cxr14.config.blocks import read_evaluate
from cxr14.errors import UserError
from cxr14.evaluation.predict import predict_logits
from cxr14.io import write_npy
from cxr14.models.serialization import load_model
from cxr14.preprocessing.cache import open_cache
from stages import Backbone, run


def main(
    group: Annotated[Group, typer.Option()],
    backbone: Backbone,
    seed: Annotated[int, typer.Option()],
) -> None:
    """Run the stage."""
    paths = NetworkPaths(group, backbone, seed)
    images, _ = open_cache("data/cache")
    network, model = load_model(paths.model)
    size, batch_size = model["input_size"], read_evaluate().batch_size
    logits = predict_logits(network, images, np.arange(len(images)), size, batch_size)
    broken = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(broken):
        raise UserError(
            f"{paths.title} has NaN or infinite logits for {len(broken)} images; train it again"
        )
    write_npy(paths.logits, logits)


if __name__ == "__main__":
    run(main, __doc__)
