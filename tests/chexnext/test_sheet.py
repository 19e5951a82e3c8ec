"""The contact sheet of label changes."""

import numpy as np
from PIL import Image

from cxr14.figures.label_changes import LabelChange, draw_label_changes
from tests.chexnext.tables import PHANTOM


def label_change(direction: str, number: int) -> LabelChange:
    pixels = np.full((64, 64), 10 * number, np.uint8)
    return LabelChange(
        pixels, f"{number}.png", "Pleural_Thickening", direction, 0.9, 0.3, ", right"
    )


def test_equal_changes_give_equal_bytes_and_a_row_for_each_direction(tmp_path) -> None:
    changes = [label_change("added", n) for n in range(3)] + [
        label_change("removed", n) for n in range(7)
    ]
    heights = {}
    for name, selection in (
        ("one", changes),
        ("same", changes),
        ("few", changes[:3]),
        ("none", []),
    ):
        draw_label_changes(tmp_path / f"{name}.png", selection, PHANTOM)
        with Image.open(tmp_path / f"{name}.png") as image:
            heights[name] = image.height
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "same.png").read_bytes()
    row = heights["few"] - heights["none"]
    assert heights["one"] - heights["none"] == 3 * row  # seven removed take two rows
