"""Reader of ground-truth boxes, and conversion of their units to pixels of NIH's grid.

NIH's boxes are in pixels of its 1024×1024 images, whatever the size of a copy. A user's boxes may
be in pixels of the file, in pixels of the original (columns OriginalImage[Width,Height]) or in
fractions of width and height. `data.boxes` names the unit; `auto` infers it where it is unique.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.datasets.columns import BOX_HEADINGS, Cells, check, read_cells, refuse
from cxr14.datasets.issues import Table
from cxr14.datasets.raw import SHIPPED
from cxr14.errors import UserError
from cxr14.labels import canonical

UNITS = ("nih", "image", "original", "fraction")
ALLOWED = (
    "nih (pixels of NIH's 1024×1024 images), image (pixels of the file), original (pixels of "
    "OriginalImage[Width,Height]) or fraction (0–1 of width and height)"
)
OVERHANG = 0.02
"""Maximum overhang of a box beyond the image, as a fraction of its side."""

ROUNDING = 0.51
"""Tolerance in pixels of a comparison with NIH's list: some copies have whole pixels."""

LEAST_BESIDE_PERCENT = 200
"""Minimum side in pixels of files whose boxes may be percentages if all end below 100."""

PERCENT = (
    "no box ends beyond 100, so they may be in percent of width and height, which is no unit here; "
    "divide such by 100 for fraction, or name the unit if the boxes are small and in the corner"
)

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
CORNERS = (["x", "y"], ["width", "height"])
NUMBERS = (*CORNERS[0], *CORNERS[1])
COLUMNS = ("image", "finding", *NUMBERS)

UNIT = "unit_"
"""Prefix of the fact that counts the boxes of a unit."""

FileSizes = Callable[[list[str]], pd.DataFrame]
"""Function of image names that returns `width` and `height` of their files in pixels, by image; see
:func:`cxr14.datasets.image_sources.file_sizes`. It leaves out absent and unreadable files."""


@dataclass(frozen=True)
class Sizes:
    """Known sizes of the images of N boxes; NaN where unknown."""

    image: pd.Series  # (N,)
    of_original: pd.DataFrame  # width, height in pixels by image, from the table
    of_files: Callable[[], pd.DataFrame]  # the same from the files; lazy

    @cached_property
    def file(self) -> Floats:
        """Width and height of the files; (N, 2)."""
        return self.of_files().reindex(self.image).to_numpy(np.float64)

    @cached_property
    def original(self) -> Floats:
        """Width and height of the originals; (N, 2)."""
        return self.of_original.reindex(self.image).to_numpy(np.float64)

    def canvas(self, unit: str) -> Floats:
        """Return width and height of the image in a unit; (N, 2)."""
        if unit == "image":
            return self.file
        if unit == "original":
            return self.original
        return np.full((len(self.image), 2), 1.0 if unit == "fraction" else SHIPPED)

    def factors(self, unit: str) -> Floats:
        """Return the factors that convert x and y from a unit to the grid; (N, 2)."""
        if unit == "nih":
            return np.ones((len(self.image), 2))
        per_file_pixel = SHIPPED / self.file.max(axis=1, keepdims=True)
        return np.asarray(self.file / self.canvas(unit) * per_file_pixel, np.float64)


def choose_unit(
    name: str, boxes: pd.DataFrame, sizes: Sizes, nih: pd.DataFrame | None
) -> tuple[str, str]:
    """Infer the unit of N boxes; return the unit and the reason.

    A list without a number above 1 is in fractions. A list with boxes of NIH's is in NIH's unit,
    if its other boxes fit that unit. Otherwise a unit is possible if all boxes are inside the
    image in it, up to OVERHANG. NIH's unit is excluded if a file is larger than NIH's images, or
    if boxes fit files of the original size. Pixels of the original are excluded if the files have
    NIH's size and the boxes fit them. If several units are possible, they must give the same
    positions. Boxes that may be percentages have no unit.

    Args:
        name: name of the file in errors.
        boxes: image, finding, x, y, width, height as written, indexed by row.
        sizes: sizes of their images.
        nih: boxes of NIH's list.

    Raises:
        UserError: some boxes are in fractions and others not, no unit or several are possible, or
            the boxes may be percentages.
    """
    if boxes.empty:
        return "nih", "there is no box"
    small = (boxes[[*NUMBERS]] <= 1).all(axis=1)
    if small.all():
        return "fraction", "no number is above 1"
    if small.any():
        allowed = "pixels, as in the other rows"
        failures = {"column": "box", "value": as_text(boxes[small]), "allowed": allowed}
        refuse(name, pd.DataFrame(failures))
    if nih is not None and (theirs := _are_nihs(boxes, nih)).any():
        if not theirs.all() and not _on_nihs_grid(boxes, sizes, ~theirs):
            raise UserError(_unclear(name, boxes, sizes, _mixed(theirs)))
        return "nih", f"{theirs.sum()} of {len(boxes)} boxes are NIH's own"
    known = np.isfinite(sizes.file.sum(axis=1))
    if not known.any():
        return "image", "no image of a box has a file, so none is used"
    if _percentages(boxes[known], sizes.file[known]):
        raise UserError(_unclear(name, boxes, sizes, PERCENT))
    possible = _possible(boxes, sizes, known, OVERHANG) or _possible(boxes, sizes, known, np.inf)
    factors = [sizes.factors(unit)[known] for unit in possible]
    if possible and all(np.allclose(factors[0], other, rtol=1e-3) for other in factors[1:]):
        return possible[0], _reason(possible, sizes)
    reason = f"can be in {' or '.join(possible)}" if possible else "fit no image in any unit"
    raise UserError(_unclear(name, boxes, sizes, f"so the boxes {reason}"))


def _are_nihs(boxes: pd.DataFrame, nih: pd.DataFrame) -> Flags:
    """Return the mask of the boxes that are in NIH's list; (N,)."""
    numbers = [*NUMBERS]
    rows = boxes.reset_index(drop=True).reset_index(names="position")
    pairs = rows.merge(nih, on=["image", "finding"], suffixes=("", "_nih"))
    theirs = pairs[[f"{name}_nih" for name in numbers]].to_numpy()
    same = (np.abs(pairs[numbers].to_numpy() - theirs) < ROUNDING).all(axis=1)
    return np.isin(np.arange(len(boxes)), pairs.position[same])


def _on_nihs_grid(boxes: pd.DataFrame, sizes: Sizes, others: Flags) -> bool:
    """Tell whether the boxes in the mask `others` fit NIH's grid."""
    start, size = (boxes[columns].to_numpy()[others] for columns in CORNERS)
    if not _fits(start, size, sizes.canvas("nih")[others], OVERHANG).all():
        return False
    return not (sizes.file[others] > SHIPPED).any()


def _mixed(theirs: Flags) -> str:
    return (
        f"{theirs.sum()} of the boxes are NIH's own, and of the other {(~theirs).sum()} some "
        f"reach beyond NIH's 1024×1024 pixels or are in larger files; keep boxes of one unit in "
        f"the list"
    )


def _percentages(boxes: pd.DataFrame, files: Floats) -> bool:
    ends = boxes[CORNERS[0]].to_numpy() + boxes[CORNERS[1]].to_numpy()
    return bool(ends.max() <= 100 and files.min() >= LEAST_BESIDE_PERCENT)


def _reason(possible: list[str], sizes: Sizes) -> str:
    if possible[0] != "nih" and np.nanmax(sizes.file) > SHIPPED:
        return (
            f"the files have up to {_largest(sizes.file)} pixels, so they are not NIH's images of "
            f"1024×1024"
        )
    if len(possible) > 1:
        return f"the same positions as in {' and '.join(possible[1:])}"
    return "in no other unit all boxes are inside their images"


def _possible(boxes: pd.DataFrame, sizes: Sizes, known: Flags, overhang: float) -> list[str]:
    """Return the units in which all boxes overlap the image, up to an overhang."""
    start, size = (boxes[columns].to_numpy()[known] for columns in CORNERS)
    units = []
    for unit in ("nih", "image", "original"):
        canvas = sizes.canvas(unit)[known]
        if _fits(start, size, canvas, overhang).all():
            units.append(unit)
    file, original = sizes.file[known], sizes.original[known]
    as_original = "image" in units and bool((file == original).all())
    if "nih" in units and (as_original or bool((file > SHIPPED).any())):
        units.remove("nih")
    if {"nih", "image", "original"} <= set(units) and bool((file.max(axis=1) == SHIPPED).all()):
        units.remove("original")
    return units


def _fits(start: Floats, size: Floats, canvas: Floats, overhang: float) -> Flags:
    """Return the mask of the axes on which boxes overlap the image, up to an overhang; (N, 2)."""
    meets = (start < canvas) & (start + size > 0)
    inside = (start >= -overhang * canvas) & (start + size <= (1 + overhang) * canvas)
    return np.asarray(meets & inside, np.bool_)


def as_text(boxes: pd.DataFrame) -> pd.Series:
    """Return N boxes as text: ``00000001_000.png Mass 1000 5 60.5 70``; (N,)."""
    lines = [
        f"{b.image} {b.finding} {b.x:g} {b.y:g} {b.width:g} {b.height:g}"
        for b in boxes.itertuples()
    ]
    return pd.Series(lines, index=boxes.index, dtype="str")


def _unclear(name: str, boxes: pd.DataFrame, sizes: Sizes, reason: str) -> str:
    ends = boxes[CORNERS[0]].to_numpy() + boxes[CORNERS[1]].to_numpy()
    return (
        f"{name}: the unit of the boxes is not clear. They reach to "
        f"{ends[:, 0].max():g}×{ends[:, 1].max():g}, the files have up to {_largest(sizes.file)} "
        f"pixels and the originals up to {_largest(sizes.original)}; {reason}. Set "
        f"data.boxes in params.yaml to {ALLOWED}, then run `dvc repro`"
    )


def _largest(sizes: Floats) -> str:
    known = sizes[np.isfinite(sizes.sum(axis=1))]
    return "×".join(f"{side:g}" for side in known.max(axis=0)) if len(known) else "unknown"


def convert(name: str, boxes: pd.DataFrame, unit: str, sizes: Sizes) -> tuple[pd.DataFrame, Flags]:
    """Clip N boxes to their images and convert them to pixels of the grid.

    Returns:
        The boxes, NaN where the size of a file is needed and unknown; mask of the clipped ones
        (N,). Boxes in NIH's unit inside the image keep their exact numbers.

    Raises:
        UserError: a box is entirely outside its image.
    """
    canvas = sizes.canvas(unit)
    starts, extents = (boxes[columns].to_numpy(np.float64) for columns in CORNERS)
    ends = starts + extents
    inside = (starts >= 0) & ~(ends > canvas)  # NaN (unknown) is not clipped
    low = np.where(starts >= 0, starts, 0)
    high = np.where(ends > canvas, canvas, ends)
    clipped = np.where(inside, extents, high - low)
    lost = boxes.index[clipped.min(axis=1) <= 0]
    if len(lost):
        allowed = [f"a box that meets the image of {w:g}×{h:g}" for w, h in canvas]
        failures = {"column": "box", "value": as_text(boxes), "allowed": allowed}
        refuse(name, pd.DataFrame(failures, boxes.index).loc[lost])
    factors = sizes.factors(unit)
    frame = boxes.copy()
    frame[CORNERS[0]], frame[CORNERS[1]] = low * factors, clipped * factors
    return frame, inside.min(axis=1) == 0


def check_box_table(path: str | Path, name: str | None) -> Cells:
    """Read the cells of a list of boxes and check them, without the table of images.

    Args:
        path: the list of boxes.
        name: name of the file in errors; None: `path`.

    Raises:
        UserError: a column is missing, or a cell is not allowed.
    """
    from cxr14.datasets.schemas import BOXES

    cells = read_cells(path, name or str(path), BOX_HEADINGS, (), NUMBERS)
    check(name or str(path), cells.text, BOXES)
    return cells


def read_box_table(
    path: str | Path,
    images: pd.DataFrame | None = None,
    origin: str | None = None,
    unit: str = "nih",
    file_sizes: FileSizes | None = None,
    nih_boxes: pd.DataFrame | None = None,
) -> Table:
    """Read the ground-truth boxes and their data issues.

    Args:
        path: the list of boxes.
        images: the records to compare the boxes with, or None.
        origin: name of the file in errors and issues; None: `path`.
        unit: unit of the boxes in the file: auto, or one of UNITS. All but nih need `images` and
            `file_sizes`.
        file_sizes: called only where the unit or the conversion depends on the files' sizes.
        nih_boxes: NIH's list, for `auto`: a file with any of its boxes has its unit.

    Returns:
        image, finding (standard spelling), x, y, width, height (float, pixels of NIH's 1024×1024
        grid, in which a file's longer side is 1024; x and y are the upper left corner), sorted by
        image, finding and position. A box in another unit whose image has no file is left out.

    Raises:
        UserError: a column is missing, a cell is not allowed, a box is entirely outside the
            image, or `auto` finds no unique unit.
    """
    name = origin or str(path)
    cells = check_box_table(path, name)
    written = cells.text[list(COLUMNS)].astype(dict.fromkeys(NUMBERS, "float64"))
    findings = [canonical(finding) for finding in written.finding]
    written["finding"] = pd.Series(findings, written.index, dtype="str")  # also if there is none
    first = ~written.duplicated()
    issues = _cell_issues(cells, written, first, images)
    boxes = written[first if images is None else first & written.image.isin(set(images.image))]
    sizes = _sizes(boxes, images, file_sizes if unit != "nih" else None)
    reason = "set by data.boxes"
    if unit == "auto":
        unit, reason = choose_unit(name, boxes, sizes, nih_boxes)
    frame, clipped = convert(name, boxes, unit, sizes)
    sized = frame[[*NUMBERS]].notna().all(axis=1)
    frame = frame[sized]
    issues["clipped"] = as_text(boxes[clipped & sized.to_numpy()])
    issues["box_without_file"] = boxes.image[~sized]
    if images is not None:
        issues["label_not_in_table"] = _unlabelled(boxes, images)
    note = f"read in the unit {unit} ({reason})"
    frame = frame.sort_values(list(COLUMNS[:4]), ignore_index=True)
    return Table(frame, issues, {f"{UNIT}{unit}": len(frame)}, name, note)


def _cell_issues(
    cells: Cells, written: pd.DataFrame, first: pd.Series, images: pd.DataFrame | None
) -> dict[str, pd.Series]:
    """Return the issues of N boxes as written; `first` (N,) excludes repeated rows."""
    text = cells.text
    issues = {
        "blank_lines": cells.blank,
        "repeated_rows": text.image[~first],
        "respelled_labels": text.finding[first & (text.finding != written.finding)],
        "unused_columns": cells.unused,
        "assumed_encoding": cells.assumed,
    }
    if images is not None:
        issues["image_in_no_table"] = text.image[first & ~text.image.isin(set(images.image))]
    return issues


def boxed_images(table: Table) -> set[str]:
    """Return the images with boxes, including boxes left out because the file is missing."""
    return {*table.frame.image, *table.issues["box_without_file"]}


def _sizes(boxes: pd.DataFrame, images: pd.DataFrame | None, file_sizes: FileSizes | None) -> Sizes:
    """Return the sizes of the images of N boxes; files are read only when needed."""
    empty = pd.DataFrame(columns=["width", "height"], dtype="float64")
    original = empty
    if images is not None:
        columns = {"original_width": "width", "original_height": "height"}
        rows = images[images.image.isin(boxes.image)].set_index("image")
        original = rows[list(columns)].rename(columns=columns)

    def of_files() -> pd.DataFrame:
        return empty if file_sizes is None else file_sizes(sorted(set(boxes.image)))

    return Sizes(boxes.image, original, of_files)


def _unlabelled(boxes: pd.DataFrame, images: pd.DataFrame) -> pd.Series:
    """Return the boxes whose image lacks the label of their finding, as text."""
    labels = images.set_index("image")
    labelled = [bool(labels.at[box.image, box.finding]) for box in boxes.itertuples()]
    return as_text(boxes[~np.array(labelled, bool)])
