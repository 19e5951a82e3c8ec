"""The study's figures 6 and 7: which images they show, and the drawing of them.

The choice is fixed, with no chance in it: PA views first, then names in order, and no patient
twice in a figure.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr14.errors import UserError
from cxr14.explore.drawing import DPI, GREY, INK, WIDTH, shown, titled
from cxr14.explore.summary import label_counts
from cxr14.findings import CLASSES, LABEL_COLUMNS

SAMPLE_COLUMNS = ["findings", "image", "age", "sex", "view"]
SIMULATED = "phantom radiographs: simulated pixels, real records"
NATIVE = 224 / DPI  # inches in which an image of 224 pixels is drawn pixel for pixel
MARGIN, GAP, HEADER, LINE = 0.12, 0.07, 0.85, 0.17  # inches


def findings_text(images: pd.DataFrame) -> "pd.Series[str]":
    """Return the labels of each of N images as the NIH table writes them: ``Mass|Nodule``."""
    labels = images[list(LABEL_COLUMNS)].to_numpy(bool)
    texts = ["|".join(name for name, on in zip(CLASSES, row, strict=True) if on) for row in labels]
    return pd.Series(texts, index=images.index, dtype=str)


def single_label_samples(images: pd.DataFrame) -> pd.DataFrame:
    """Figure 6: for each of the 15 classes one image that has this label only.

    Args:
        images: the records to choose from (of train-val, with pixels).

    Returns:
        findings, image, age, sex, view, in class order; without the classes that no image has
        as its only label.
    """
    return _one_of_each(images[label_counts(images) == 1], list(CLASSES))


def multi_label_samples(images: pd.DataFrame, each: int = 4) -> pd.DataFrame:
    """Figure 7: one image of each of the commonest pairs of labels, then of the triples.

    Args:
        images: the records to choose from (of train-val, with pixels).
        each: how many pairs, and how many triples.

    Returns:
        findings, image, age, sex, view; at most 2 × `each` rows.
    """
    texts, counts = findings_text(images), label_counts(images)
    wanted: list[str] = []
    for size in (2, 3):
        frequency = texts[counts == size].value_counts().sort_index()
        wanted += frequency.sort_values(ascending=False, kind="stable").index[:each].tolist()
    return _one_of_each(images[counts > 1], wanted)


def _one_of_each(images: pd.DataFrame, wanted: list[str]) -> pd.DataFrame:
    ranked = images.assign(findings=findings_text(images), other_view=images["view"] != "PA")
    ranked = ranked.sort_values(["other_view", "image"])
    chosen = ranked.head(0)
    for text in wanted:
        fresh = ~ranked["patient"].isin(chosen["patient"])
        chosen = pd.concat([chosen, ranked[fresh & (ranked["findings"] == text)].head(1)])
    return chosen[SAMPLE_COLUMNS].reset_index(drop=True)


def subtitle(start: str, table: pd.DataFrame, phantom: bool, wanted: Iterable[str] = ()) -> str:
    """Return the line under the title: what it is, what is simulated, what has no sample."""
    missing = [shown(name) for name in wanted if name not in set(table["findings"])]
    named = ", ".join(missing) if len(missing) < 4 else f"{len(missing)} labels"
    without = f"no sample of {named}" if missing else ""
    return "; ".join(filter(None, (start, SIMULATED if phantom else "", without)))


def draw(
    table: pd.DataFrame,
    pixels: npt.NDArray[np.uint8],
    columns: int,
    title: str,
    below: str,
) -> Figure:
    """Draw the rows of a table of samples with their images, `columns` beside each other.

    Args:
        table: N rows as :func:`single_label_samples` gives them.
        pixels: uint8 (N, S, S), the images of these rows.
        columns: how many beside each other.
        title: the headline.
        below: the line under it, see :func:`subtitle`.

    Raises:
        UserError: there is not one image for each row.
    """
    if len(pixels) != len(table):
        raise UserError(f"{len(pixels)} images for {len(table)} samples; one for each is needed")
    labels = [[shown(name) for name in text.split("|")] for text in table["findings"]]
    side = min(1.25 * NATIVE, (WIDTH - 2 * MARGIN - GAP * (columns - 1)) / columns)
    pitch = side + 0.36 + LINE * max(map(len, labels), default=1)
    height = HEADER + pitch * -(-len(table) // columns)
    figure = titled(title, below, height)
    for n, (_, _, years, sex, view) in enumerate(table.itertuples(index=False)):
        left = MARGIN + (side + GAP) * (n % columns)
        bottom = height - HEADER - pitch * (n // columns + 1) + MARGIN
        place = (left / WIDTH, bottom / height, side / WIDTH, side / height)
        axes = figure.add_axes(place)
        axes.imshow(pixels[n], cmap="gray", vmin=0, vmax=255)
        axes.axis("off")
        age = "age unknown" if pd.isna(years) else f"{years} years"
        _above(axes, 5, f"{age} · {sex} · {view}", 8, GREY)
        for line, label in enumerate(reversed(labels[n])):
            _above(axes, 17 + 72 * LINE * line, label, 9.5, INK)
    return figure


def _above(axes: Axes, points: float, text: str, size: float, colour: str) -> None:
    axes.annotate(
        text,
        (0, 1),
        (0, points),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=size,
        color=colour,
        va="baseline",
    )
