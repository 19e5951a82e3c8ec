"""Contact sheets of overlays, and the printed tables."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from cxr14.evaluation.terminal import PHANTOM_NOTE
from cxr14.localization.detect import detect
from cxr14.localization.overlay import DRAWN, best_and_worst
from cxr14.localization.scorecard import measure
from cxr14.localization.scoring import with_overlaps
from cxr14.localization.sheets import draw_sheets
from cxr14.localization.terminal import accuracy_table


@pytest.fixture
def found():
    names = [f"{number}.png" for number in range(3)]
    pairs = pd.DataFrame({"image": names, "finding": ["Mass", "Mass", "Nodule"], "row": range(3)})
    pairs = pairs.assign(patient=range(3), scale=0.5, offset_x=0.0, offset_y=0.0)
    drawn = pairs[["image", "finding"]].assign(x=20.0, y=20.0, width=30.0, height=30.0)
    grids = np.random.default_rng(0).random((3, 4, 4)).astype(np.float16)
    grids[1] = 0
    overlaps = with_overlaps(detect(pairs, grids, 64, [60, 180]), drawn)
    predictions = pd.DataFrame({"image": names}).assign(
        **{f"probability {finding}": [0.1, 0.2, 0.3] for finding in ("Mass", "Nodule")}
    )
    return pairs, grids, drawn, overlaps, predictions


def draw(folder, found, phantom):
    images = np.full((3, 64, 64), 90, np.uint8)
    draw_sheets(folder, images, *found, [60, 180], "alexnet", phantom)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_each_boxed_finding_has_a_sheet_of_equal_bytes_and_old_ones_go(tmp_path, found):
    (tmp_path / "Hernia.png").write_bytes(b"of an earlier run")
    first = draw(tmp_path, found, phantom=False)
    assert list(first) == ["Mass.png", "Nodule.png"]
    assert draw(tmp_path, found, phantom=False) == first


def test_phantom_sheets_say_so(tmp_path, found):
    assert draw(tmp_path / "a", found, True) != draw(tmp_path / "b", found, False)


def test_the_drawn_box_is_visible_in_its_colour(tmp_path, found):
    draw(tmp_path, found, phantom=True)
    pixels = np.asarray(Image.open(tmp_path / "Mass.png").convert("RGB")).astype(int)
    colour = [int(DRAWN[place : place + 2], 16) for place in (1, 3, 5)]
    assert (np.abs(pixels - colour).max(axis=2) < 20).sum() > 100


def test_best_and_worst_are_chosen_by_value_then_name():
    names = [f"{letter}.png" for letter in "abcdefghij"]
    values = np.array([0.0, 0.9, 0.5, 0.5, 0.1, 0.2, 0.3, 0.8, 0.0, 0.4])
    assert [names[place][0] for place in best_and_worst(names, values)] == list("bhcdfeai")
    assert best_and_worst(names[:3], values[:3]) == [1, 2, 0]


def test_the_printed_table_states_n_and_phantom(found):
    pairs, _, _, overlaps, _ = found
    metrics = measure(pairs, overlaps, [0.1, 0.25], [0.1], [60, 180], np.random.default_rng(0))
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(accuracy_table("alexnet", metrics | {"phantom": 1}, "iobb"))
    text = console.export_text()
    assert PHANTOM_NOTE in " ".join(text.split())
    lines = text.splitlines()
    mass = next(line for line in lines if "Mass" in line)
    assert mass.split()[:2] == ["Mass", "2"]
    assert "–" in next(line for line in lines if "Effusion" in line)


def test_the_printed_table_says_which_boxed_findings_were_not_trained(found):
    pairs, _, _, overlaps, _ = found
    generator = np.random.default_rng(0)
    metrics = measure(pairs, overlaps, [0.1], [0.1], [60], generator, ("Mass", "Nodule"))
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(accuracy_table("alexnet", metrics | {"phantom": 1}, "iobb"))
    lines = console.export_text().splitlines()
    effusion = next(line for line in lines if "Effusion" in line)
    assert effusion.split() == ["Effusion", "not", "trained", "–", "–"]
    assert any("mean of 2" in line for line in lines)
