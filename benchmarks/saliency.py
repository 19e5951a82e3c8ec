"""Saliency methods of a trained network compared on the known masks and boxes of phantoms.

    python benchmarks/saliency.py alexnet                  (about half a minute)
    python benchmarks/saliency.py alexnet --size cache

Reads models/B, data/cache, data/records and params.yaml (localize). Scores are means over findings,
computed as in the stage localize-iobb. The last rows are networks with a random head, and with
random weights everywhere, by the method and layer of params.yaml: what maps find without training.
The second table is the difference of each method from the first, on the same resampled patients; *
marks a 95 % interval that excludes 0. Choose the default method on phantoms, not on the real test
images: there the boxes are for testing only.
Results: docs/explanation/saliency.md.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import typer
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from cxr14.config.localize import read_localize
from cxr14.console import format_difference, format_interval, signed
from cxr14.localization.cam import METHODS, SaliencySettings, normalized_heatmaps
from cxr14.localization.evaluate import gather_truth, read_inputs
from cxr14.localization.heatmaps import Grids
from cxr14.localization.means import Means
from cxr14.localization.overlap import PAIR, POOLED, Rule, hits_and_false_boxes
from cxr14.localization.pointing import score_maps
from cxr14.localization.sanity_check import OTHER_SEED
from cxr14.localization.scores import BoxedPairs, MaskedPairs, ScoredPairs
from cxr14.metrics.bootstrap import SEED
from cxr14.models.network import build_network
from cxr14.models.serialization import load_model

HIT = Rule("iobb", 0.1, POOLED)
FINER = (16, 8, 4)
"""Strides of the layers that are compared with the last one."""


class Score(NamedTuple):
    """A score of every pair."""

    pairs: ScoredPairs
    values: npt.NDArray[np.float64]  # (P, 1)
    share: bool = True  # whether it is within 0 and 1


def scores_of(
    boxed: BoxedPairs, masked: MaskedPairs, grids: Grids, heats: list[int]
) -> dict[str, Score]:
    """Score the maps of the boxed pairs, then of the masked pairs, by name of the score."""
    on_boxes, on_masks = np.split(grids, [len(boxed.pairs)])
    hits, false_boxes = hits_and_false_boxes(boxed.pairs, boxed.overlaps(on_boxes, heats), [HIT])
    in_boxes = score_maps(boxed, {"": on_boxes})[""]
    in_masks = score_maps(masked, {"": on_masks}, heats)[""]
    names = ["mask: pointing", "mask: energy", *(f"mask: IoU, heat > {heat}" for heat in heats)]
    return {
        **{name: Score(masked, in_masks[:, [column]]) for column, name in enumerate(names)},
        "box: pointing": Score(boxed, in_boxes[:, [0]]),
        "box: energy": Score(boxed, in_boxes[:, [1]]),
        "IoBB > .1, pooled": Score(boxed, hits.astype(np.float64)),
        "false boxes, pooled": Score(boxed, false_boxes.astype(np.float64), share=False),
    }


def cell(means: Means, form: str = "{} ({}–{})") -> str:
    """Format the mean over findings with its interval."""
    return format_interval(*(float(numbers[-1, 0]) for numbers in means), form)


def difference(score: Score, reference: Score) -> str:
    """Format the difference of a method's mean from that of the reference."""
    means = score.pairs.differences(score.values, reference.values)
    value, low, high = (float(numbers[-1, 0]) for numbers in means)
    return signed(value) if np.isnan(low) else format_difference(value, low, high)


def main(backbone: str, size: str = "train") -> None:
    """Print the scores of every method, and the differences from the first."""
    params, inputs = read_localize(), read_inputs()
    network, description = load_model(f"models/{backbone}")
    generator = np.random.default_rng(SEED)
    boxed, masked = gather_truth(inputs, network.classes, "per_map", generator)
    pairs = pd.concat([boxed.pairs, masked.pairs])[[*PAIR, "row"]]
    chosen = SaliencySettings.of_params(
        params.model_copy(update={"size": size}), description["input_size"], inputs.images.shape[-1]
    )
    arguments = {"seed": OTHER_SEED, "classes": network.classes} | description["head"]
    random = build_network(backbone, **arguments)
    scores = {}
    methods = [(name, "last") for name in METHODS if name != "cam" or network.pooling == "avg"]
    methods += [(name, layer) for layer in FINER for name in ("gradcam", "hirescam", "layercam")]
    rows = [("", network, network.features, *method) for method in methods]
    rows += [(", random head", random, network.features, chosen.method, chosen.layer)]
    rows += [(", random network", random, random.features, chosen.method, chosen.layer)]
    for weights, scored, features, method, layer in rows:
        settings = chosen._replace(method=method, layer=layer)
        scored.features = features
        grids = normalized_heatmaps(scored.eval(), inputs.images, pairs, settings)
        name = f"{method}, {layer} ({grids.shape[1]}×{grids.shape[2]}){weights}"
        scores[name] = scores_of(boxed, masked, grids, params.heat_thresholds)
    first, *others = scores
    title = (
        f"{backbone}, pooling {network.pooling}, images of {chosen.input_size} px, "
        f"{len(masked.pairs)} masks, {len(boxed.pairs)} pairs with boxes; "
        "means over findings, 95 % intervals"
    )
    table = Table("method, layer (grid)", *scores[first], box=MARKDOWN)
    for method, own in scores.items():
        means = (score.pairs.means(score.values, share=score.share) for score in own.values())
        table.add_row(method, *map(cell, means))
    gaps = Table(f"minus {first}", *scores[first], box=MARKDOWN)
    for method in others:
        compared = zip(scores[method].values(), scores[first].values(), strict=True)
        gaps.add_row(method, *(difference(*both) for both in compared))
    Console(width=240).print(inputs.source.label(title), table, gaps)


if __name__ == "__main__":
    typer.run(main)
