"""What predictions on new files need beside weights and decision: serving/BACKBONE.json."""

from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from cxr14.config.localize import LocalizeParams
from cxr14.config.reader import Block, check_block
from cxr14.datasets.records import Source
from cxr14.io import read_csv, read_json, write_json
from cxr14.labels import FINDINGS

OPERATING_POINT = "highest F1 on validation"
"""How evaluate chooses the thresholds of decision.json."""

PHANTOM_MODEL: Final = "trained on phantom radiographs: says nothing about patients"
"""Of all that a model of phantoms says of a file, which may be a real one."""


class HeatmapDescription(Block):
    """How heatmaps are computed, as in the block `localize` of params.yaml."""

    method: str
    layer: int | str
    smoothing: float = Field(ge=0, le=0.5)
    scaling: Literal["per_map", "fixed"]
    size: Literal["train", "cache"]
    heat_thresholds: list[int] = Field(min_length=1)
    heat_scale: dict[str, float] | None


class ServingDescription(Block):
    """The content of serving/BACKBONE.json.

    Attributes:
        name: of the network or ensemble.
        source: name of the data source that it was trained on.
        phantom: whether that source has simulated pixels.
        official_split: whether its split is that of the official lists.
        cached_size: pixels per side to which files are resized first.
        operating_point: how the thresholds were chosen.
        heatmaps: how heatmaps and boxes are computed.
    """

    format: Literal[1]
    name: str
    source: str
    phantom: bool
    official_split: bool
    cached_size: int = Field(ge=32, le=1024)
    operating_point: str
    heatmaps: HeatmapDescription

    @property
    def of_source(self) -> Source:
        """The data source, whose caution precedes every output."""
        return Source(self.source, self.phantom, self.official_split)


def describe(
    name: str, source: Source, cached_size: int, params: LocalizeParams, scale: Path
) -> ServingDescription:
    """Describe how to serve a network or ensemble.

    Args:
        name: of the network or ensemble.
        source: that it was trained on.
        cached_size: pixels per side of the cache.
        params: the block `localize`.
        scale: metrics/localize/NAME/scale.csv, with the heat scale of each localized finding.

    Raises:
        UserError: the table is missing or damaged.
    """
    chosen = params.model_dump(include={"method", "layer", "smoothing", "scaling", "size"})
    heat_scale = read_heat_scale(scale)
    if heat_scale is None:  # of an ensemble too, whose networks have a scale each
        chosen["scaling"] = "per_map"
    heatmaps = {"heat_thresholds": params.heat_thresholds, "heat_scale": heat_scale}
    facts = {"source": source.name, "phantom": source.phantom}
    facts |= {"official_split": source.official_split, "cached_size": cached_size}
    return ServingDescription.model_validate(
        {"format": 1, "name": name, "operating_point": OPERATING_POINT}
        | facts
        | {"heatmaps": chosen | heatmaps}
    )


def read_heat_scale(path: Path) -> dict[str, float] | None:
    """Read the heat that maps to 255, by finding; None if heatmaps are scaled by their own range.

    A finding without boxes or masks has no scale of its own. It gets the median of the others, as
    in cam.heat_scale.
    """
    table = read_csv(path, {"finding": "text", "heat_scale": "number"})
    known = table.dropna(subset="heat_scale").set_index("finding")["heat_scale"]
    if known.empty:
        return None
    return {name: float(known.get(name, known.median())) for name in FINDINGS}


def write_description(path: str | Path, description: ServingDescription) -> None:
    """Write serving/BACKBONE.json."""
    write_json(path, description.model_dump())


def read_serving(path: Path) -> ServingDescription:
    """Read serving/BACKBONE.json.

    Raises:
        UserError: it is missing or damaged; names file and key.
    """
    return check_block("serving", ServingDescription, read_json(path), path)
