"""The whole graph on a folder of images, in a clone of its own, by the commands of the docs."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from tests.clones import clone_into, commit, paste, shrink_params
from tests.experiments_page import OWN_IMAGES, ways_of_use

pytestmark = pytest.mark.graph


def draw_image(path: Path, seed: int) -> None:
    """Draw noise, 64 px a side."""
    pixels = np.random.default_rng(seed).integers(0, 255, (64, 64), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def draw_folder(folder: Path) -> None:
    """Write forty patients with two images each, NIH's table, boxes and both lists."""
    (folder / "images").mkdir(parents=True)
    heading = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    )
    table, boxes = [heading], ["Image Index,Finding Label,Bbox [x,y,w,h],,,"]
    lists: dict[str, list[str]] = {"train_val_list.txt": [], "test_list.txt": []}
    for number in range(80):
        patient, follow_up = number // 2 + 1, number % 2
        name = f"{patient:08d}_{follow_up:03d}.png"
        label = ("Mass", "Nodule", "No Finding")[patient % 3]
        table.append(f"{name},{label},{follow_up},{patient},50,M,PA,1024,1024,0.2,0.2")
        test = patient > 25
        lists["test_list.txt" if test else "train_val_list.txt"].append(name)
        if test and label == "Mass":
            boxes.append(f"{name},Mass,400,300,200,100,,,")
        if number < 79:  # the last comes later
            draw_image(folder / "images" / name, number)
    files = {"Data_Entry_2017_v2020.csv": table, "BBox_List_2017.csv": boxes, **lists}
    for name, lines in files.items():
        (folder / name).write_text("\n".join(lines) + "\n")


def test_a_folder_of_ones_images_is_an_experiment_too(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    clone_into(clone)
    shrink_params(clone / "params.yaml", ["alexnet"])
    commit(clone, "Small params")
    folder = tmp_path / "my images"
    draw_folder(folder)
    for line in ways_of_use()[OWN_IMAGES]:
        if "--force download" in line:  # once images were added to the folder
            draw_image(folder / "images" / "00000040_001.png", 79)
        paste(clone, line.replace("/where/it/is", f"'{folder}'"))
    assert yaml.safe_load((clone / "params.yaml").read_text())["data"]["source"] == "folder"
    manifest = pd.read_csv(clone / "data/raw/tables/manifest.csv")
    assert len(manifest) == 80
    assert len(np.load(clone / "data/cache/images.npy", mmap_mode="r")) == 80
    summary = json.loads((clone / "metrics/summary.json").read_text())
    assert summary["phantom"] == 0
    assert summary["official_split"] == 1
