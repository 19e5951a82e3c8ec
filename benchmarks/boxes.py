"""Lower and upper bound of localization on NIH's 984 boxes, without images.

    python benchmarks/boxes.py

The lower bound are the control baselines, the upper bound are the ground-truth boxes themselves,
both on the grids of the networks at 224 px. Boxes, thresholds and scores as in the stage
localize-iobb. Boxes come with the torchxrayvision package. Takes a minute.
Results: docs/lab-notes/localization.md.
"""

import numpy as np
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from cxr14.console import format_number
from cxr14.datasets.boxes import read_box_table
from cxr14.io import packaged_file
from cxr14.labels import BOXED
from cxr14.localization.control_baselines import control_grids
from cxr14.localization.heatmaps import Grids
from cxr14.localization.overlap import (
    POOLED,
    Rule,
    cached_boxes,
    covered_cells,
    hits_and_false_boxes,
    scaled_to_255,
)
from cxr14.localization.scores import BoxedPairs, gather
from cxr14.metrics.bootstrap import SEED

SIZE, HEATS = 224, (60, 180)
GRIDS = {"7×7": (7, 7), "14×14": (14, 14)}
RULES = [Rule("iobb", limit, POOLED) for limit in (0.1, 0.25, 0.5, 0.75, 0.9)] + [
    Rule("iou", limit, POOLED) for limit in (0.1, 0.3, 0.5)
]


def nih() -> BoxedPairs:
    """Gather NIH's boxes, one per pair, with the transform of a cache of 224 px."""
    path = packaged_file("torchxrayvision", "torchxrayvision/data/BBox_List_2017.csv.gz")
    ground_truth = read_box_table(path).frame
    pairs = ground_truth[["image", "finding"]].assign(patient=ground_truth["image"].str[:8], row=0)
    pairs = pairs.assign(scale=SIZE / 1024, offset_x=0.0, offset_y=0.0)
    generator = np.random.default_rng(SEED)
    return gather(pairs.reset_index(drop=True), ground_truth, SIZE, "per_map", BOXED, generator)


def maps_on(boxed: BoxedPairs, grid: tuple[int, int]) -> dict[str, Grids]:
    """Return the control baselines, and the ground-truth boxes as heatmaps."""
    boxes = cached_boxes(boxed.pairs, boxed.ground_truth)
    covered = np.array([covered_cells(box, boxed.size, grid) for box in boxes], np.float32)
    controls = control_grids(boxed, grid, 0.0, np.random.default_rng(SEED))
    return controls | {"ground-truth boxes": (scaled_to_255(covered) / 255).astype(np.float16)}


def main() -> None:
    """Print a table of means over the eight findings."""
    boxed = nih()
    headings = [
        f"{rule.measure} {format_number(rule.overlap_threshold, 2).rstrip('0')}" for rule in RULES
    ]
    table = Table("grid", "heat from", *headings, "AFP", box=MARKDOWN)
    for name, grid in GRIDS.items():
        for method, grids in maps_on(boxed, grid).items():
            overlaps = boxed.overlaps(grids, HEATS)
            hits, wrong = hits_and_false_boxes(boxed.pairs, overlaps, RULES)
            means = boxed.means(hits)
            low, high = (
                format_number(float(means.low[-1, 0])),
                format_number(float(means.high[-1, 0])),
            )
            rates = [format_number(float(value)) for value in means.value[-1]]
            rates[0] += f" ({low}–{high})"
            afp = format_number(float(boxed.means(wrong).value[-1, 0]), 2)
            table.add_row(name, method, *rates, afp)
    images = boxed.pairs["image"].nunique()
    Console(width=140).print(f"{len(boxed.pairs)} boxes on {images} images", table)


if __name__ == "__main__":
    main()
