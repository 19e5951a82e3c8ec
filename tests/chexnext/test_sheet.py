"""The contact sheet of label changes."""

import numpy as np
import pandas as pd
from PIL import Image

from cxr14.figures.label_changes import draw_label_changes
from tests.chexnext.tables import PHANTOM


def test_equal_changes_give_equal_bytes_and_a_row_for_each_direction(tmp_path) -> None:
    changes = pd.DataFrame({"direction": ["added"] * 3 + ["removed"] * 7}).assign(
        finding="Pleural_Thickening", probability=0.9, threshold=0.3, right=True
    )
    changes["image"] = [f"{n}.png" for n in range(10)]
    pixels = np.tile(10 * np.arange(10, dtype=np.uint8)[:, None, None], (64, 64))
    heights = {}
    for name, selection in (
        ("one", changes),
        ("same", changes),
        ("few", changes[:3]),
        ("none", changes[:0]),
    ):
        draw_label_changes(tmp_path / f"{name}.png", selection, pixels, PHANTOM)
        with Image.open(tmp_path / f"{name}.png") as image:
            heights[name] = image.height
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "same.png").read_bytes()
    row = heights["few"] - heights["none"]
    assert heights["one"] - heights["none"] == 3 * row  # seven removed take two rows
