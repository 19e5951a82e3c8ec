"""Overlay of a finding on a radiograph: heat, detected boxes, probability and threshold.

Drawn with Pillow, in the colours of the contact sheets (overlays.py), in a hundredth of a second.
"""

import itertools
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from cxr14.console import format_number, shortened
from cxr14.datasets.records import Source
from cxr14.figures.overlays import DETECTED, HEAT
from cxr14.io import write_bytes
from cxr14.localization.heatmaps import Grids, heat_of
from cxr14.localization.overlap import BOX, CACHE_TRANSFORM, Boxes, to_cache
from cxr14.serving.description import PHANTOM_MODEL

SIDE = 768
"""Pixels per side of the radiograph."""

LINE, MARGIN, FONT_SIZE = 24, 10, 17
"""Height of a line of text, its distance from the edge, and its size, in pixels."""

NAME = 80
"""Characters of an image's name in a caption."""

GROUND, TEXT = "#111111", "#f2f2f2"


def write_overlay(
    path: str | Path,
    image: npt.NDArray[np.uint8],
    pair: pd.Series,
    grid: Grids,
    boxes: pd.DataFrame,
    source: Source,
    scaling: str,
) -> None:
    """Write the overlay of a pair of image and finding as PNG.

    Args:
        path: of the PNG.
        image: uint8 (S, S), as in the cache.
        pair: of cxr14.serving.results.pairs_to_explain.
        grid: (1, h, w) of the pair.
        boxes: detected in it, in pixels of the file.
        source: that the network was trained on.
        scaling: of the grid: per_map or fixed.
    """
    transform = pair[CACHE_TRANSFORM].to_numpy(np.float64)
    cached = {
        int(str(threshold)): to_cache(rows[BOX].to_numpy(np.float64), *transform)
        for threshold, rows in boxes.groupby("heat_threshold")
    }
    (heat,) = heat_of(grid, SIDE, scaling)
    numbers = f"probability {format_number(pair['probability'])}"
    numbers += f", threshold {format_number(pair['threshold'])}"
    forced = "; FORCED although refused" if pair["forced"] else ""
    caption = [f"{pair['finding']}: {numbers}{forced}", shortened(pair["image"], NAME)]
    phantom = f"{PHANTOM_MODEL}; " if source.phantom else ""
    caption += [f"{phantom}not a medical device"]
    content = BytesIO()
    draw_overlay(image, heat, cached, caption).save(content, "PNG")
    write_bytes(path, content.getvalue())


def draw_overlay(
    image: npt.NDArray[np.uint8],
    heat: npt.NDArray[np.float32],
    boxes: Mapping[int, Boxes],
    caption: Sequence[str],
) -> Image.Image:
    """Draw a radiograph with heat and boxes, and a caption below.

    Args:
        image: uint8 (S, S), as in the cache.
        heat: (SIDE, SIDE), 0–255.
        boxes: (K, 4) by heat threshold, in pixels of the cached image.
        caption: lines of text.

    Returns:
        RGB, SIDE pixels wide.
    """
    grey = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    layer = Image.fromarray(np.asarray(HEAT(heat.astype(np.uint8)) * 255, np.uint8))
    picture = Image.alpha_composite(grey.convert("RGBA"), layer).convert("RGB")
    colours = dict(zip(sorted(boxes), itertools.cycle(DETECTED), strict=False))
    pen = ImageDraw.Draw(picture)
    for threshold, colour in colours.items():
        for box in boxes[threshold] * (SIDE / len(image)):
            _outline(pen, box, colour)
    return _captioned(picture, caption, colours)


def _outline(pen: ImageDraw.ImageDraw, box: npt.NDArray[np.float64], colour: str) -> None:
    x, y, width, height = box.clip([-np.inf, -np.inf, 1, 1])  # a cached pixel may be smaller
    corners = x, y, x + width - 1, y + height - 1
    pen.rectangle((x - 1, y - 1, x + width, y + height), outline="black", width=5)
    pen.rectangle(corners, outline=colour, width=3)


def _captioned(
    picture: Image.Image, caption: Sequence[str], colours: Mapping[int, str]
) -> Image.Image:
    """Add lines of text below a picture, and the legend of the boxes."""
    font = ImageFont.load_default(FONT_SIZE)
    height = SIDE + 2 * MARGIN + LINE * (len(caption) + 1)
    page = Image.new("RGB", (SIDE, height), GROUND)
    page.paste(picture)
    pen, x, y = ImageDraw.Draw(page), MARGIN, SIDE + MARGIN
    for threshold, colour in colours.items():
        pen.rectangle((x, y + 4, x + 16, y + 18), outline=colour, width=3)
        text = f"region with heat > {threshold} of 255"
        pen.text((x + 24, y), text, TEXT, font)
        x += 54 + round(pen.textlength(text, font))
    for number, line in enumerate(caption, 1):
        pen.text((MARGIN, y + number * LINE), line, TEXT, font)
    return page
