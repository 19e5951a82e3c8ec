"""Images of a small project as the report reads them: records, split, cache, heatmaps, params."""

from pathlib import Path

import numpy as np
import pandas as pd

from cxr14.config.localize import LocalizeParams
from cxr14.io import write_json, write_npy, write_parquet, write_text
from cxr14.labels import CLASSES, LABEL_COLUMNS
from cxr14.localization.heatmaps import boxed_pairs, detect, write_heatmaps
from cxr14.localization.overlap import with_overlaps
from cxr14.report.facts import DEFAULTS

SIZE, GRID = 64, 8
NAMES = [f"{number:08d}_000.png" for number in range(24)]
TESTED = NAMES[:12]
LOCALIZE = LocalizeParams(
    method="gradcam",
    layer="last",
    smoothing=0,
    scaling="per_map",
    size="train",
    heat_thresholds=[60, 180],
    t_iobb=[0.1],
    t_iou=[0.1],
    batch_size=8,
)


def write_records(root: Path) -> pd.DataFrame:
    """Write records and split: the first twelve images are in test, three patients have no age."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, (len(NAMES), len(LABEL_COLUMNS))).astype(np.uint8)
    records = pd.DataFrame(labels, columns=list(LABEL_COLUMNS))
    records.insert(0, "image", NAMES)
    records.insert(1, "patient", np.arange(len(NAMES), dtype=np.int32))
    ages = pd.array([None] * 3 + list(range(4, 4 + 4 * 21, 4)), dtype="Int32")
    records = records.assign(age=ages, sex=["F", "M"] * 12, view="PA", has_pixels=True)
    write_parquet(root / "data/records/images.parquet", records)
    splits = ["test"] * 12 + ["val"] * 4 + ["train"] * 8
    split = records[["image", "patient"]].assign(split=splits)
    write_parquet(root / "data/split/split.parquet", split)
    return records


def write_cache(root: Path) -> pd.DataFrame:
    """Write grey noise as the cache, of images of 1024 pixels; return its index."""
    rng = np.random.default_rng(6)
    images = rng.integers(0, 256, (len(NAMES), SIZE, SIZE), dtype=np.uint8)
    write_npy(root / "data/cache/images.npy", images)
    index = pd.DataFrame({"row": range(len(NAMES)), "image": NAMES})
    index = index.assign(source_width=1024, source_height=1024, scale=SIZE / 1024)
    index = index.assign(offset_x=0.0, offset_y=0.0)
    write_parquet(root / "data/cache/index.parquet", index)
    return index


def write_boxes(root: Path, count: int) -> pd.DataFrame:
    """Write a box in each of the first test images, of Mass or of Nodule."""
    findings = ["Mass", "Nodule"] * 6
    boxes = pd.DataFrame({"image": TESTED, "finding": findings, "x": 512.0, "y": 256.0})
    boxes = boxes.assign(width=256.0, height=256.0)[:count]
    write_parquet(root / "data/records/boxes.parquet", boxes)
    return boxes


def write_predictions(root: Path, backbone: str) -> None:
    """Write predictions of val and test."""
    rng = np.random.default_rng(7)
    table = pd.DataFrame({"image": NAMES[:16], "split": ["test"] * 12 + ["val"] * 4})
    for name in CLASSES:
        probability = rng.uniform(0.1, 0.9, len(table)).astype(np.float32)
        table[f"logit {name}"] = np.log(probability / (1 - probability))
        table[f"probability {name}"] = probability
    write_parquet(root / f"predictions/{backbone}.parquet", table)


def write_decision(root: Path, backbone: str) -> None:
    """Write a decision whose Platt scaling lowers every logit by 1; Hernia has none."""
    thresholds = dict.fromkeys(CLASSES, 0.44) | {"Hernia": None}
    platt = {name: {"slope": 1.0, "intercept": -1.0} for name in CLASSES} | {"Hernia": None}
    decision = {"thresholds": thresholds, "platt": platt, "reasons": {}}
    write_json(root / "evaluation" / backbone / "decision.json", decision)


def write_images(root: Path, backbones: list[str], boxed: int = len(TESTED)) -> None:
    """Write all that the page reads of images; heat is random, and empty in one image."""
    records, index, boxes = write_records(root), write_cache(root), write_boxes(root, boxed)
    pairs = boxed_pairs(boxes, index, records)
    for backbone in backbones:
        rng = np.random.default_rng(8)
        grids = rng.uniform(0, 1, (len(pairs), GRID, GRID)).astype(np.float16)
        grids[:1] = 0
        folder = root / "localization" / backbone
        folder.mkdir(parents=True, exist_ok=True)
        write_heatmaps(folder / "heatmaps.npz", pairs, grids)
        detections = detect(pairs, grids, SIZE, LOCALIZE.heat_thresholds)
        write_parquet(folder / "detections.parquet", with_overlaps(detections, boxes))
        write_predictions(root, backbone)
        write_decision(root, backbone)
    write_text(root / "params.yaml", DEFAULTS.read_text())
