"""Mappings of a user's table to the fourteen findings: which columns and labels it has.

A mapping is a YAML file: a ready one of cxr14/datasets/mappings by its name, or a user's by path.
docs/howto/own-table.md explains the keys.
"""

import re
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from cxr14.config.reader import Block, ParamsError, check_block, read_yaml
from cxr14.errors import UserError, quote
from cxr14.labels import CLASSES, FINDINGS, canonical, without_no_finding

READY = Path(__file__).parents[1] / "datasets/mappings"
"""Folder of the ready mappings."""

State = Literal["positive", "negative", "uncertain"]


class Built(Block):
    """A cell built from columns of its row.

    Attributes:
        form: text with columns in braces, such as ``{ImageDir}/{ImageID}``; ``{column:.2}`` is
            the first two characters.
        pattern: regular expression whose first group is the cell; null takes the whole text.
    """

    form: str
    pattern: str | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> "Built":
        try:
            fields = self.columns
            groups = re.compile(self.pattern or "()").groups
        except (ValueError, re.error) as error:
            raise UserError(f"{error}; see docs/howto/own-table.md") from None
        if not fields:
            raise UserError("form names no column; write one in braces, such as {ImageID}")
        if groups != 1:
            raise UserError(f"pattern has {groups} groups in parentheses; write one")
        return self

    @property
    def columns(self) -> list[str]:
        """The headings in the form."""
        return [name for _, name, _, _ in Formatter().parse(self.form) if name]


Column = str | Built
"""A heading, or how to build the cell."""


class Columns(Block):
    """Columns of the table; null: the table lacks it.

    Attributes:
        image: path of the image file relative to `data.folder`, or its name; the suffix may differ.
        patient: any text; null: every image is a patient of its own.
        follow_up: number of the visit.
        age: years, or as NIH writes it (058Y, 011M, 024D).
        sex: M or F, male or female, or as `values.sex` says.
        view: PA or AP, or as `values.view` says.
        width: of the original image in pixels; height the same.
        spacing_x: mm per pixel of the original; spacing_y the same.
        split: train, val or test, or as `values.split` says.
    """

    image: Column
    patient: Column | None = None
    follow_up: Column | None = None
    age: Column | None = None
    sex: Column | None = None
    view: Column | None = None
    width: Column | None = None
    height: Column | None = None
    spacing_x: Column | None = None
    spacing_y: Column | None = None
    split: Column | None = None


class Labels(Block):
    """Form of the labels.

    Attributes:
        column: the column that holds all labels of a row; null: a column per label.
        separator: between labels in a cell; null: one label a cell; `list`: ``['a', 'b']``.
        values: for a column per label, the state that each cell value means.
        skip: for one column, labels whose rows are left out.
    """

    column: str | None = None
    separator: str | None = None
    values: dict[str, State] = Field(
        default_factory=lambda: dict[str, State]({"1": "positive", "0": "negative"})
    )
    skip: list[str] = Field(default_factory=list)


class Readers(Block):
    """Column of the reader of a row, and how many readers must agree on a finding."""

    column: str
    agree: int = Field(ge=1, le=100)


class BoxColumns(Block):
    """Columns of the boxes, in the table itself (rows: box) or in `data.box_table`.

    x and y are the upper left corner; width and height, or right and bottom, give the size.
    `image` and `finding` are for `data.box_table`; null: those of the table.
    """

    x: str
    y: str
    width: str | None = None
    height: str | None = None
    right: str | None = None
    bottom: str | None = None
    image: Column | None = None
    finding: str | None = None

    @model_validator(mode="after")
    def _has_a_size(self) -> "BoxColumns":
        pairs = [(self.width, self.height), (self.right, self.bottom)]
        if [None not in pair for pair in pairs].count(True) != 1 or pairs.count((None, None)) != 1:
            raise UserError("name width and height, or right and bottom")
        return self


class Values(Block):
    """Standard values of the cells of a column, where they are written in another way."""

    sex: dict[str, Literal["M", "F"]] = Field(default_factory=dict)
    view: dict[str, Literal["PA", "AP"]] = Field(default_factory=dict)
    split: dict[str, Literal["train", "val", "test"]] = Field(default_factory=dict)


def _check_findings(findings: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the labels by class in standard spelling, in the order of CLASSES."""
    named = {canonical(name): labels for name, labels in findings.items()}
    if len(named) < len(findings):
        raise UserError("a class stands twice, in two spellings; name it once")
    if not without_no_finding(named):
        raise UserError("no finding is named; name at least one of the fourteen")
    if empty := [name for name, labels in named.items() if not labels]:
        raise UserError(f"{empty[0]} has no label; name some, or take the class out")
    return {name: named[name] for name in CLASSES if name in named}


class Mapping(Block):
    """Columns and labels of a table.

    Attributes:
        columns: headings of the facts on an image.
        labels: form of the labels.
        findings: for each class that the table labels, its labels there. A class that is not
            named is unknown for every image.
        keep: rows to keep, by heading the allowed cells; other rows are left out.
        rows: what a row is. Rows of one image are combined for `box`, and an error for `image`.
        readers: for `box`, if several readers read an image; null: a finding needs one row.
        boxes: columns of the boxes; null: there are none.
        values: standard values of sex, view and split.
    """

    columns: Columns
    findings: Annotated[dict[str, list[str]], AfterValidator(_check_findings)]
    labels: Labels = Field(default_factory=Labels)
    keep: dict[str, list[str]] = Field(default_factory=dict)
    rows: Literal["image", "box"] = "image"
    readers: Readers | None = None
    boxes: BoxColumns | None = None
    values: Values = Field(default_factory=Values)

    @model_validator(mode="after")
    def _rows_suit_the_rest(self) -> "Mapping":
        if self.rows == "image" and self.readers is not None:
            raise UserError("readers is for rows: box")
        if self.rows == "box" and self.boxes is not None and self.boxes.image is not None:
            raise UserError("boxes.image is for data.box_table; with rows: box it is columns.image")
        return self


def labelled(mapping: Mapping) -> tuple[str, ...]:
    """Return the classes whose labels are known: those named, and No Finding beside all others."""
    named = tuple(mapping.findings)
    return CLASSES if set(FINDINGS) <= set(named) else named


def ready_mappings() -> list[str]:
    """Return the names of the ready mappings, sorted."""
    return sorted(path.stem for path in READY.glob("*.yaml"))


def mapping_path(name: str, root: Path) -> Path:
    """Return the file of a ready mapping, or of a user's: a path relative to `root`.

    Raises:
        ParamsError: there is no such mapping.
    """
    if name in ready_mappings():
        return READY / f"{name}.yaml"
    if not name.endswith((".yaml", ".yml")):
        raise ParamsError(
            f"params.yaml: data.mapping = {quote(name)}: no ready mapping has this name; allowed: "
            f"{', '.join(ready_mappings())}, or the path of a .yaml file"
        )
    return root / name


def read_mapping(path: Path) -> Mapping:
    """Read and check a mapping.

    Raises:
        ParamsError: the file is missing or no YAML, or a key is unknown, missing or not allowed.
    """
    content: dict[str, Any] = read_yaml(path)
    return check_block("mapping", Mapping, content, path)
