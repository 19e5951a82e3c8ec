"""Figures 1–7 of exploratory data analysis.

Figures 1–5 show tables of :mod:`cxr14.datasets.statistics`. Figures 6 and 7 show sample images; the
selection is deterministic: PA views first, then sorted by name, each patient at most once.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxr14.datasets.records import Source
from cxr14.datasets.statistics import AGE_QUANTILES, SEXES, label_counts
from cxr14.errors import UserError
from cxr14.figures.style import (
    BARE,
    BLUE,
    DPI,
    FAINT,
    GREY,
    INK,
    ORANGE,
    PALE_BLUE,
    WIDTH,
    beside,
    display_name,
    page,
    rows,
    titled,
)
from cxr14.labels import CLASSES, LABEL_COLUMNS, NO_FINDING

SEX_COLOURS = {"F": (ORANGE, INK), "M": (BLUE, "white")}  # colours of bar and text
SEX_NAMES = {"F": "female", "M": "male"}


def label_distribution(table: pd.DataFrame, images: int) -> Figure:
    """Draw figure 1 from ``statistics.label_distribution``; `images` is the total."""
    share_of = table.set_index("finding")["share"]
    figure, axes = page(
        f"{share_of[NO_FINDING]:.0%} of the images carry no finding",
        f"Figure 1 · train-val, {images:,} images; an image may carry several labels",
        height=5.4,
    )
    colours = [GREY if name == NO_FINDING else BLUE for name in table["finding"]]
    axes.barh(range(len(table)), table["images"], color=colours, height=0.72)
    for row, (count, share) in enumerate(zip(table["images"], table["share"], strict=True)):
        text = f"{count:,}  ({share:.1%})"
        axes.annotate(text, (count, row), (5, 0), textcoords="offset points", va="center_baseline")
    axes.set_xlim(0, max(table["images"].max(), 1) * 1.25)
    rows(axes, table["finding"])
    return figure


def sex(table: pd.DataFrame) -> Figure:
    """Draw figure 2 from ``statistics.sex_distribution``."""
    male = table.set_index("sex")["share"]["M"]
    figure, axes = page(
        f"{male:.0%} of the images show male patients",
        f"Figure 2 · train-val, {table['images'].sum():,} images by sex of the patient",
        height=2.0,
        left=0.12,
        right=0.12,
    )
    start = 0.0
    for key, images, share, patients in table.itertuples(index=False):
        bar, ink = SEX_COLOURS[key]
        axes.barh(0, share, left=start, color=bar, height=0.9)
        text = f"{SEX_NAMES[key]}  {share:.1%}\n{images:,} images of {patients:,} patients"
        if images:
            axes.text(start + share / 2, 0, text, ha="center", va="center", color=ink, size=11)
        start += share
    axes.set_xlim(0, 1)
    axes.set_yticks([])
    return figure


def sex_by_finding(table: pd.DataFrame) -> Figure:
    """Draw figure 3 from ``statistics.sex_by_finding``, sorted by the share of women."""
    share_of = table.pivot(index="finding", columns="sex", values="share")
    share_of = share_of.sort_values("F", ascending=False, kind="stable")
    images_of = table.groupby("finding")["images"].sum().reindex(share_of.index)
    women, men = share_of.loc["Atelectasis", ["F", "M"]].fillna(0)
    figure, axes = page(
        f"Atelectasis: {women:.0%} of the images female, {men:.0%} male",
        "Figure 3 · train-val, images of each label by sex of the patient; white line: one half",
        height=5.6,
        right=1.35,
    )
    for row, images in enumerate(images_of):
        start = 0.0
        for key in SEXES if images else ():
            (bar, ink), share = SEX_COLOURS[key], share_of[key].iloc[row]
            axes.barh(row, share, left=start, color=bar, height=0.72)
            text = f"{SEX_NAMES[key]} {share:.0%}" if row == 0 else f"{share:.0%}"
            if share >= 0.06:
                axes.text(
                    start + share / 2, row, text, ha="center", va="center_baseline", color=ink
                )
            start += share
        beside(axes, row, f"{images:,} images")
    axes.axvline(0.5, color="white", linewidth=1)
    axes.set_xlim(0, 1)
    rows(axes, share_of.index)
    return figure


def age(table: pd.DataFrame, fullest_ten_years: int, missing: int) -> Figure:
    """Draw figure 4 from ``statistics.age_distribution``.

    The ten years to `fullest_ten_years` are dark. `missing` images have no known age: the table of
    2017 has some above 100.
    """
    row = int(table["images"].to_numpy().argmax())
    years, most = int(table["age"].iloc[row]), int(table["images"].iloc[row])
    note = f"; {missing} more have no known age" if missing else ""
    decade = f"{max(fullest_ten_years - 9, 0)}–{fullest_ten_years}"
    figure, axes = page(
        f"The commonest age is {years} years, the fullest ten years are {decade}",
        f"Figure 4 · train-val, {table['images'].sum():,} images by age of the patient; "
        f"dark: {decade}{note}",
        height=4.2,
        left=0.75,
        right=0.15,
        bottom=0.6,
    )
    dark = table["age"].between(fullest_ten_years - 9, fullest_ten_years)
    axes.bar(table["age"], table["images"], width=0.84, color=np.where(dark, BLUE, PALE_BLUE))
    text = f"{years} years: {most:,} images"
    axes.annotate(text, (years, most), (0, 5), textcoords="offset points", ha="center", bbox=BARE)
    axes.set_ylim(0, most * 1.12)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.xaxis.set_visible(True)
    axes.set_xlim(-1, table["age"].max() + 1)
    axes.set_xticks(range(0, int(table["age"].max()) + 1, 10))
    axes.set_xlabel("age (years)")
    return figure


def age_by_finding(table: pd.DataFrame) -> Figure:
    """Draw figure 5 from ``statistics.age_by_finding``, the highest median on top."""
    table = table.sort_values("median", ascending=False, kind="stable", ignore_index=True)
    old, young = table.dropna().iloc[0], table.dropna().iloc[-1]
    figure, axes = page(
        f"Median age: {old['median']:.0f} years with {display_name(old['finding']).lower()}, "
        f"{young['median']:.0f} with {display_name(young['finding']).lower()}",
        "Figure 5 · train-val, age by label; dot: median, thick: middle half, thin: 5% to 95%",
        height=6.0,
        right=1.35,
        bottom=0.6,
    )
    ages = table[list(AGE_QUANTILES)].to_numpy(float)
    for row, (name, images) in enumerate(zip(table["finding"], table["images"], strict=True)):
        p5, q1, median, q3, p95 = ages[row]
        colour = GREY if name == NO_FINDING else BLUE
        axes.plot([p5, p95], [row, row], color=colour, linewidth=1.2)
        axes.plot([q1, q3], [row, row], color=colour, linewidth=7, alpha=0.45)
        axes.plot(median, row, "o", color=colour, markersize=9, markeredgecolor="white")
        if images:
            axes.text(median, row - 0.27, f"{median:.0f}", ha="center", size=9)
        beside(axes, row, f"{images:,} images")
    axes.xaxis.set_visible(True)
    axes.grid(axis="x", color=FAINT, linewidth=0.8)
    axes.set_xlim(0, table["p95"].max() + 5)
    axes.set_xlabel("age (years)")
    rows(axes, table["finding"])
    return figure


SAMPLE_COLUMNS = ["findings", "image", "age", "sex", "view"]
SIMULATED = "phantom radiographs: simulated pixels, real records"
NATIVE = 224 / DPI  # inches of a 224-pixel image at native resolution
MARGIN, GAP, HEADER, LINE = 0.12, 0.07, 0.85, 0.17  # inches


def findings_text(images: pd.DataFrame) -> "pd.Series[str]":
    """Return the labels of each of N images as the NIH table writes them: ``Mass|Nodule``."""
    labels = images[list(LABEL_COLUMNS)].to_numpy(bool)
    texts = ["|".join(name for name, on in zip(CLASSES, row, strict=True) if on) for row in labels]
    return pd.Series(texts, index=images.index, dtype=str)


def single_label_samples(images: pd.DataFrame) -> pd.DataFrame:
    """Select the images of figure 6: one with a single label for each of the 15 classes.

    Args:
        images: the records to choose from (of train-val, with pixels).

    Returns:
        findings, image, age, sex, view, in class order; classes without such an image
        are omitted.
    """
    return _one_of_each(images[label_counts(images) == 1], list(CLASSES))


def multi_label_samples(images: pd.DataFrame, count: int = 4) -> pd.DataFrame:
    """Select the images of figure 7: one for each of the commonest label pairs and triples.

    Args:
        images: the records to choose from (of train-val, with pixels).
        count: number of pairs, and of triples.

    Returns:
        findings, image, age, sex, view; at most 2 × `count` rows.
    """
    texts, counts = findings_text(images), label_counts(images)
    wanted: list[str] = []
    for size in (2, 3):
        frequency = texts[counts == size].value_counts().sort_index()
        wanted += frequency.sort_values(ascending=False, kind="stable").index[:count].tolist()
    return _one_of_each(images[counts > 1], wanted)


def _one_of_each(images: pd.DataFrame, wanted: list[str]) -> pd.DataFrame:
    ranked = images.assign(findings=findings_text(images), other_view=images["view"] != "PA")
    ranked = ranked.sort_values(["other_view", "image"])
    chosen = ranked.head(0)
    for text in wanted:
        fresh = ~ranked["patient"].isin(chosen["patient"])
        chosen = pd.concat([chosen, ranked[fresh & (ranked["findings"] == text)].head(1)])
    return chosen[SAMPLE_COLUMNS].reset_index(drop=True)


def subtitle(start: str, table: pd.DataFrame, source: Source, wanted: Iterable[str] = ()) -> str:
    """Return the subtitle: its start, the phantom note, the labels without a sample."""
    missing = [display_name(name) for name in wanted if name not in set(table["findings"])]
    named = ", ".join(missing) if len(missing) < 4 else f"{len(missing)} labels"
    without = f"no sample of {named}" if missing else ""
    return "; ".join(filter(None, (start, SIMULATED if source.phantom else "", without)))


def draw(
    table: pd.DataFrame,
    pixels: npt.NDArray[np.uint8],
    columns: int,
    title: str,
    below: str,
) -> Figure:
    """Draw a grid of sample images with their records.

    Args:
        table: N rows as :func:`single_label_samples` gives them.
        pixels: uint8 (N, S, S), the images of these rows.
        columns: images per row.
        title: of the figure.
        below: the subtitle, see :func:`subtitle`.

    Raises:
        UserError: the numbers of images and rows differ.
    """
    if len(pixels) != len(table):
        raise UserError(f"{len(pixels)} images for {len(table)} samples; one for each is needed")
    labels = [[display_name(name) for name in text.split("|")] for text in table["findings"]]
    side = min(1.25 * NATIVE, (WIDTH - 2 * MARGIN - GAP * (columns - 1)) / columns)
    pitch = side + 0.36 + LINE * max(map(len, labels), default=1)
    height = HEADER + pitch * -(-len(table) // columns)
    figure = titled(title, below, height)
    for n, (_, _, years, sex, view) in enumerate(table.itertuples(index=False)):
        left = MARGIN + (side + GAP) * (n % columns)
        bottom = height - HEADER - pitch * (n // columns + 1) + MARGIN
        box = (left / WIDTH, bottom / height, side / WIDTH, side / height)
        axes = figure.add_axes(box)
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
