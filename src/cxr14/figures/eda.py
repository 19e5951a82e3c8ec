"""Figures 1–7 of exploratory data analysis, from the tables of :mod:`cxr14.datasets.statistics`."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxr14.datasets.records import Source
from cxr14.datasets.statistics import AGE_QUANTILES, SAMPLE_COLUMNS, SEXES
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
    write_png,
)
from cxr14.io import Kind, read_csv
from cxr14.labels import CLASSES, NO_FINDING
from cxr14.preprocessing.cache import open_cache, rows_of

COLUMNS: Mapping[str, Mapping[str, Kind]] = {
    "label_distribution": {"finding": "text", "images": "integer", "share": "number"},
    "sex": {"sex": "text", "images": "integer", "share": "number", "patients": "integer"},
    "sex_by_finding": {"finding": "text", "sex": "text", "images": "integer", "share": "number"},
    "age": {"age": "integer", "images": "integer"},
    "age_by_finding": {
        "finding": "text",
        "images": "integer",
        **{quantile: "number" for quantile in AGE_QUANTILES},
    },
    "sample_single": dict.fromkeys(SAMPLE_COLUMNS, "any"),
    "sample_multi": dict.fromkeys(SAMPLE_COLUMNS, "any"),
}
"""Columns of the tables in plots/eda, in the order of the figures."""

SAMPLES = (
    ("sample_single", 5, "Images with one label", "Figure 6 · train-val", CLASSES),
    (
        "sample_multi",
        4,
        "Images with several labels",
        "Figure 7 · train-val, the most frequent combinations among images with pixels",
        (),
    ),
)
"""Figures 6 and 7: name, images per row, title, start of the subtitle, labels to show."""

SEX_COLOURS = {"F": (ORANGE, INK), "M": (BLUE, "white")}  # colours of bar and text
SEX_NAMES = {"F": "female", "M": "male"}


def write_figures(folder: str | Path, numbers: Mapping[str, Any], source: Source) -> None:
    """Draw the figures next to their tables; equal tables give equal bytes.

    Args:
        folder: plots/eda.
        numbers: ``train_val`` of metrics/eda.json.
        source: of the images.
    """

    def write(name: str, figure: Callable[..., Figure], *arguments: Any) -> None:
        table = read_csv(Path(folder) / f"{name}.csv", COLUMNS[name])
        write_png(Path(folder) / f"{name}.png", figure, table, *arguments)

    write("label_distribution", label_distribution, numbers["images"])
    write("sex", sex)
    write("sex_by_finding", sex_by_finding)
    write("age", age, numbers["age_fullest_ten_years"], numbers["age_missing"])
    write("age_by_finding", age_by_finding)
    images, index = open_cache()
    for name, columns, title, start, wanted in SAMPLES:
        table = read_csv(Path(folder) / f"{name}.csv", COLUMNS[name], dtype={"age": "Int64"})
        pixels = images[rows_of(index, table["image"])]
        below = subtitle(start, table, source, wanted)
        write_png(Path(folder) / f"{name}.png", draw, table, pixels, columns, title, below)


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
    known = int(table["images"].sum())
    male = table.set_index("sex")["images"]["M"] / max(known, 1)
    figure, axes = page(
        f"{male:.0%} of the images show male patients" if known else "The sex is not known",
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


def age(table: pd.DataFrame, fullest_ten_years: int | None, missing: int) -> Figure:
    """Draw figure 4 from ``statistics.age_distribution``.

    The ten years to `fullest_ten_years` are dark. `missing` images have no known age: the table of
    2017 has some above 100.
    """
    if table.empty or fullest_ten_years is None:
        return page("The age is not known", f"Figure 4 · train-val, {missing:,} images", 4.2)[0]
    row = int(table["images"].to_numpy().argmax())
    years, most = int(table["age"].iloc[row]), int(table["images"].iloc[row])
    note = f"; {missing} more have no known age" if missing else ""
    decade = f"{max(fullest_ten_years - 9, 0)}–{fullest_ten_years}"
    figure, axes = page(
        f"The most frequent age is {years} years, the most frequent decade {decade}",
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
    if table["median"].isna().all():
        return page("The age is not known", "Figure 5 · train-val, age by label", 6.0)[0]
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


SIMULATED = "phantom radiographs: simulated pixels, real records"
NATIVE = 224 / DPI  # inches of a 224-pixel image at native resolution
MARGIN, GAP, HEADER, LINE = 0.12, 0.07, 0.85, 0.17  # inches


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
        table: N rows as ``statistics.single_label_samples`` gives them.
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
