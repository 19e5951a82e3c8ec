"""Mappings of a user's table."""

from pathlib import Path

import pytest
import yaml

from cxr14.config.mapping import mapping_path, read_mapping, ready_mappings
from cxr14.errors import UserError

GOOD = {"columns": {"image": "path"}, "findings": {"Mass": ["lump"]}}
SIDES = {"x": "x", "y": "y"}


@pytest.mark.parametrize("name", ready_mappings())
def test_every_ready_mapping_is_valid_and_names_its_source(name: str) -> None:
    path = mapping_path(name, Path())
    assert read_mapping(path).findings
    assert path.read_text().startswith("# ")
    assert "https://" in path.read_text().split("columns:")[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": {}}, "mapping.columns.image: is missing"),
        ({"findings": {"Lump": ["lump"]}}, "unknown finding 'Lump'"),
        ({"findings": {"Infiltrate": ["a"], "Infiltration": ["b"]}}, "a class stands twice"),
        ({"findings": {"No Finding": ["clean"]}}, "no finding is named"),
        ({"findings": {"Mass": []}}, "Mass has no label"),
        ({"columns": {"image": {"form": "x.png"}}}, "form names no column"),
        ({"columns": {"image": {"form": "{a}", "pattern": "x"}}}, "pattern has 0 groups"),
        ({"readers": {"column": "r", "agree": 2}}, "readers is for rows: box"),
        ({"boxes": SIDES}, "name width and height, or right and bottom"),
        ({"boxes": SIDES | {"width": "w", "bottom": "b"}}, "name width and height, or right"),
        ({"labels": {"values": {"1": "yes"}}}, "'positive', 'negative' or 'uncertain'"),
        ({"pictures": "path"}, "mapping.pictures = 'path': unknown key"),
    ],
)
def test_a_wrong_mapping_is_an_error_that_names_file_and_key(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(GOOD | change))
    with pytest.raises(UserError, match=message) as error:
        read_mapping(tmp_path / "mine.yaml")
    assert "mine.yaml" in str(error.value)


def test_a_name_is_of_a_ready_mapping_and_a_path_of_a_users(tmp_path: Path) -> None:
    assert mapping_path("chexpert", tmp_path).name == "chexpert.yaml"
    assert mapping_path("mine.yaml", tmp_path) == tmp_path / "mine.yaml"
    with pytest.raises(UserError, match="no ready mapping has this name; allowed: chexpert, "):
        mapping_path("chexprt", tmp_path)
