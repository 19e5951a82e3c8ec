"""The block `external` of params.yaml: sets on which the trained networks are scored, by name."""

import re
from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from cxr14.config.blocks import CsvParams
from cxr14.config.reader import Block, Text, read_block
from cxr14.errors import UserError, quote


def check_set_name(name: str) -> str:
    """Return the name of a set if it can be part of paths and commands.

    Raises:
        UserError: it is empty, longer than 64 characters, or has other characters than letters,
            digits and _.
    """
    if not re.fullmatch(r"[A-Za-z0-9_]{1,64}", name):
        raise UserError(
            f"{quote(name)} is no name of an external set; allowed are 1 to 64 letters, digits and "
            f"_, such as chexpert"
        )
    return name


def with_keys_of_set(text: str, name: str) -> str:
    """Return a message of code that serves the block `data` too, with the keys of a set."""
    return re.sub(r"\bdata\.(folder|table|mapping|uncertain)\b", rf"external.{name}.\1", text)


class ExternalSet(CsvParams):
    """An external set: a folder in NIH's form, or a table with its mapping."""

    source: Literal["folder", "csv"] = Field(
        description="folder (as for data.source: folder) · csv (a table and its mapping)"
    )
    folder: Text = Field(description="the directory that holds the images")
    table: Text | None = Field(None, description="for csv: path of the table")
    mapping: Text | None = Field(None, description="for csv: a ready mapping, or a .yaml")
    uncertain: Literal["zeros", "ones", "ignore"] = Field(
        "zeros", description="for csv, uncertain labels: zeros · ones · ignore"
    )

    @model_validator(mode="after")
    def _keys_fit_the_source(self) -> "ExternalSet":
        missing = self.missing_for_csv()
        if self.source == "csv" and missing:
            raise UserError(f"source csv needs {', '.join(missing)} too; see external.md")
        if self.source == "folder" and (self.table or self.mapping):
            raise UserError("table and mapping are for source csv; set source to csv")
        return self


class ExternalParams(Block):
    """The sets by name; none by default."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, ExternalSet]

    @model_validator(mode="after")
    def _names_are_parts_of_paths(self) -> "ExternalParams":
        for name in self.sets:
            check_set_name(name)
        return self

    @property
    def sets(self) -> dict[str, ExternalSet]:
        """The sets by name, in the order of the file."""
        return self.__pydantic_extra__

    def find(self, name: str) -> ExternalSet:
        """Return one set.

        Raises:
            UserError: params.yaml has none of this name.
        """
        if name not in self.sets:
            listed = ", ".join(self.sets) or "none"
            raise UserError(f"params.yaml: external has no set {quote(name)}; it has {listed}")
        return self.sets[name]


def read_external() -> ExternalParams:
    """Read the block `external` of params.yaml."""
    return read_block("external", ExternalParams)
