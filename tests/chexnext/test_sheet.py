"""The sheet of flips: drawn, and the same every time."""

import numpy as np
from PIL import Image

from cxr14.figures.label_changes import LabelChange, draw_label_changes
from tests.chexnext.tables import PHANTOM


def flip(direction: str, number: int) -> LabelChange:
    pixels = np.full((64, 64), 10 * number, np.uint8)
    return LabelChange(
        pixels, f"{number}.png", "Pleural_Thickening", direction, 0.9, 0.3, ", right"
    )


def test_equal_flips_give_equal_bytes_and_a_row_for_each_direction(tmp_path) -> None:
    flips = [flip("added", n) for n in range(3)] + [flip("removed", n) for n in range(7)]
    heights = {}
    for name, own in (("one", flips), ("same", flips), ("few", flips[:3]), ("none", [])):
        draw_label_changes(tmp_path / f"{name}.png", own, PHANTOM)
        with Image.open(tmp_path / f"{name}.png") as drawn:
            heights[name] = drawn.height
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "same.png").read_bytes()
    row = heights["few"] - heights["none"]
    assert heights["one"] - heights["none"] == 3 * row  # seven removed take two rows
