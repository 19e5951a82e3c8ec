"""Predictions on files of a user as terminal tables, CSV and JSON."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pandas as pd
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cxr14.console import MISSING, format_number, shortened
from cxr14.preprocessing.decode import REMARKS
from cxr14.report.terminal import plain_table
from cxr14.serving.description import PHANTOM_MODEL, ServingDescription
from cxr14.serving.results import order_lost, order_remark

IN_DETAIL: Final = 3
"""Maximum number of images that get a table each."""

NAME_LENGTH: Final = 48
"""Characters of an image's name in a list; the end of a longer one is shown."""

WIDTH: Final = 76
"""Of a table of one image, in characters."""

LEFT: Final[dict[str, Any]] = {"title_justify": "left", "caption_justify": "left"}

LISTS: Final = ("remarks", "refusals")


DECISION_COLUMNS: Final = ["image", "called", "scored", "refusals", "forced", "phantom"]


def images_of(table: pd.DataFrame, classes: int) -> Iterator[pd.DataFrame]:
    """Yield the rows of each image, in the order of the table."""
    for start in range(0, len(table), classes):
        yield table.iloc[start : start + classes]


def headline(name: str, description: ServingDescription) -> str:
    """Return what precedes all predictions: model, source and caution."""
    trained = PHANTOM_MODEL if description.phantom else f"trained on source {description.source}"
    return f"{name}: {trained}. Not a medical device."


def labelled(title: str, description: ServingDescription) -> str:
    """Add to a title that the model is of phantoms, if it is; the image may be a real one."""
    return f"{title}\n{PHANTOM_MODEL}" if description.phantom else title


# Terminal.


@dataclass
class Tables:
    """Lays out predictions: a table per image of a few, else a row per image.

    Of the images beyond IN_DETAIL only the cells of their row are kept.

    Attributes:
        classes: number of classes, and of rows per image.
        name: of the model.
        description: how it is served.
        decide: whether only what is called is of interest: a row per image.
    """

    classes: int
    name: str
    description: ServingDescription
    decide: bool
    _first: list[pd.DataFrame] = field(default_factory=list, init=False)
    _cells: list[tuple[str, str, str]] = field(default_factory=list, init=False)
    _refused: int = field(default=0, init=False)
    _order_lost: dict[str, None] = field(default_factory=dict, init=False)  # an ordered set

    def add(self, table: pd.DataFrame) -> None:
        """Add images; see cxr14.serving.results.score_inputs."""
        for rows in images_of(table, self.classes):
            if len(self._first) < IN_DETAIL:
                self._first.append(rows.copy())  # else the whole table stays in memory
            self._cells.append(_list_cells(rows))
            self._refused += bool(rows["refusals"].iloc[0]) and not rows["forced"].iloc[0]
        self._order_lost |= dict.fromkeys(order_lost(table))

    def lay_out(self) -> list[RenderableType]:
        """Return the tables; none without images."""
        if not self._cells:
            return []
        if len(self._cells) <= IN_DETAIL and not self.decide:
            return [_detail(rows, self.description) for rows in self._first]
        return [self._list()]

    def _list(self) -> Table:
        """Lay out a row per image: what is called, the most probable finding, remarks."""
        counts = f"{len(self._cells)} images, {self._refused} refused"
        title = labelled(f"{counts}; {escape(self.name)}", self.description)
        notes = [order_remark(self._order_lost)] if self._order_lost else []
        points = "called: at or above the threshold, highest first", _points(self.description)
        caption = "\n".join([*points, *notes])
        listed = plain_table(title, "image", "called", "notes", left=3, caption=caption, **LEFT)
        for column, ratio in zip(listed.columns, (None, 3, 2), strict=True):
            column.no_wrap, column.ratio, column.overflow = ratio is None, ratio, "fold"
        for cells in self._cells:
            listed.add_row(*cells)
        return listed


def _detail(rows: pd.DataFrame, description: ServingDescription) -> RenderableType:
    """Lay out an image, findings by falling probability."""
    first = rows.iloc[0]
    title = labelled(escape(first["image"]), description)
    if rows["uncalibrated"].isna().all():
        return Text.from_markup(f"\n[bold]{title}[/]\n[red]refused:[/] {_refusal(first)}\n")
    with_spread = rows["spread"].notna().any()
    heads = ("finding", "probability", "threshold", *(["spread"] if with_spread else []), "called")
    lost = order_lost(rows)
    remarks = [order_remark(lost)] if lost else []
    caption = "\n".join([_points(description), *remarks, *_notes(first)])
    table = plain_table(title, *heads, caption=caption, **LEFT, min_width=WIDTH)
    rows = rows.assign(called=rows["called"].fillna(False))
    for _, row in rows.sort_values("probability", ascending=False, kind="stable").iterrows():
        spread = [format_number(row["spread"], 2)] if with_spread else []
        numbers = format_number(row["probability"]), format_number(row["threshold"])
        called = "called" if row["called"] else ""
        table.add_row(row["finding"], *numbers, *spread, called, style="bold" if called else "")
    return table


def _points(description: ServingDescription) -> str:
    return f"probability: calibrated on validation; threshold: {description.operating_point}"


def _notes(row: pd.Series) -> list[str]:
    """Return the remarks on an image, and that it was forced, as lines."""
    notes = [f"{name}: {REMARKS[name][1]}" for name in row["remarks"]]
    if row["forced"]:
        notes.append(f"FORCED, although refused: {escape('; '.join(row['refusals']))}")
    return notes


def _refusal(row: pd.Series) -> str:
    return f"{escape('; '.join(row['refusals']))} (--force scores it nevertheless)"


def _list_cells(rows: pd.DataFrame) -> tuple[str, str, str]:
    first = rows.iloc[0]
    short = shortened(str(first["image"]), NAME_LENGTH)
    if rows["uncalibrated"].isna().all():
        return escape(short), MISSING, f"[red]refused:[/] {escape('; '.join(first['refusals']))}"
    notes = ", ".join(first["remarks"])
    if first["forced"]:
        notes = f"FORCED: {escape('; '.join(first['refusals']))}. {notes}"
    return escape(short), called_text(rows) or "none", notes


def called_text(rows: pd.DataFrame) -> str:
    """Return the called findings of an image with their probabilities, the highest first."""
    called = rows[rows["called"].fillna(False)]
    called = called.sort_values("probability", ascending=False, kind="stable")
    pairs = zip(called["finding"], called["probability"], strict=True)
    return ", ".join(f"{finding} {format_number(probability, 2)}" for finding, probability in pairs)


# Files.


def csv_rows(table: pd.DataFrame, header: bool) -> str:
    """Return predictions as CSV, a row per image and finding; lists are joined by semicolons.

    ``called`` is empty for a refused image and for a class without a threshold.
    """
    flat = table.assign(
        **{name: table[name].map("; ".join) for name in LISTS},
        called=table["called"].astype("Int64"),
        forced=table["forced"].astype(int),
    )
    return str(flat.to_csv(index=False, header=header, float_format="%.8g", lineterminator="\n"))


def decision_rows(table: pd.DataFrame, classes: int, header: bool) -> str:
    """Return decisions as CSV, a row per image; ``called`` is empty for a refused one."""
    rows = [
        {
            "image": first["image"],
            "called": "; ".join(called),
            "scored": int(scored),
            "refusals": "; ".join(first["refusals"]),
            "forced": int(first["forced"]),
            "phantom": first["phantom"],
        }
        for first, called, scored in _decisions(table, classes)
    ]
    flat = pd.DataFrame(rows, columns=DECISION_COLUMNS)
    return str(flat.to_csv(index=False, header=header, lineterminator="\n"))


def _decisions(table: pd.DataFrame, classes: int) -> Iterator[tuple[pd.Series, list[str], bool]]:
    for rows in images_of(table, classes):
        scored = bool(rows["uncalibrated"].notna().any())
        yield rows.iloc[0], list(rows["finding"][rows["called"].fillna(False)]), scored


def json_rows(table: pd.DataFrame, classes: int, name: str, decide: bool) -> Iterator[str]:
    """Yield a JSON object per image, each on one line; null stands for NaN."""
    for rows, (first, called, scored) in zip(
        images_of(table, classes), _decisions(table, classes), strict=True
    ):
        facts: dict[str, Any] = {"image": first["image"], "model": name}
        facts |= {"phantom": bool(first["phantom"]), "remarks": first["remarks"]}
        facts |= {"refusals": first["refusals"], "distance": _number(first["distance"])}
        facts |= {"forced": bool(first["forced"]), "called": called if scored else None}
        if not decide:
            columns = ["probability", "threshold", "uncalibrated", "spread"]
            values = rows.set_index("finding")[columns].to_dict("index")
            facts["findings"] = {
                finding: {key: _number(value) for key, value in numbers.items()}
                for finding, numbers in values.items()
            }
        yield json.dumps(facts, ensure_ascii=False, allow_nan=False)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(f"{value:.8g}")
