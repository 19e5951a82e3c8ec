"""Reading params.yaml strictly."""

from typing import Literal

import pytest
from pydantic import Field

from cxr14.config.reader import Block, ParamsError, read_block


class Oven(Block):
    """A block for these tests."""

    heat: float = Field(gt=0)
    mode: Literal["fan", "grill"] = "fan"


def write(tmp_path, text: str):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return path


def refusal(tmp_path, text: str) -> str:
    """The one line that reading this file ends in."""
    with pytest.raises(ParamsError) as caught:
        read_block("oven", Oven, write(tmp_path, text))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_block_is_read_and_the_others_are_not_looked_at(tmp_path):
    path = write(tmp_path, "oven: {heat: 200, mode: grill}\nfridge: {colour: blue}\n")
    assert read_block("oven", Oven, path) == Oven(heat=200, mode="grill")


def test_a_number_in_scientific_notation_is_a_number(tmp_path):
    """YAML 1.1 reads 1e-3 as text."""
    assert read_block("oven", Oven, write(tmp_path, "oven: {heat: 1e-3}")).heat == 0.001


def test_an_unknown_key_is_refused_by_its_full_name(tmp_path):
    assert "oven.haet = 3: unknown key" in refusal(tmp_path, "oven: {heat: 1, haet: 3}")


def test_a_misspelt_key_is_named_first_with_the_key_that_was_meant(tmp_path):
    sentence = refusal(tmp_path, "oven: {haet: 3}")
    assert "oven.haet = 3: unknown key; did you mean heat?; oven.heat: is missing" in sentence


def test_an_unsuitable_value_is_named_with_what_is_allowed(tmp_path):
    assert "oven.heat = -1: input should be greater than 0" in refusal(tmp_path, "oven: {heat: -1}")
    assert "oven.mode = 'boil': input should be 'fan' or 'grill'" in refusal(
        tmp_path, "oven: {heat: 1, mode: boil}"
    )


def test_every_problem_is_named_at_once(tmp_path):
    sentence = refusal(tmp_path, "oven: {heat: -1, mode: boil}")
    assert "oven.heat" in sentence
    assert "oven.mode" in sentence


@pytest.mark.parametrize("value", [".inf", ".nan"])
def test_infinity_is_refused_since_no_json_can_hold_it(tmp_path, value):
    """It used to pass, and model.json could not be written after the training."""
    assert "oven.heat" in refusal(tmp_path, f"oven: {{heat: {value}}}")


def test_a_missing_key_block_or_file_is_named(tmp_path):
    assert "oven.heat" in refusal(tmp_path, "oven: {mode: fan}")
    assert "the block 'oven' is missing" in refusal(tmp_path, "fridge: {}")
    assert "the block 'oven' is missing" in refusal(tmp_path, "")
    with pytest.raises(ParamsError, match="does not exist here; run from the root"):
        read_block("oven", Oven, tmp_path / "none.yaml")


def test_a_file_that_is_no_yaml_ends_in_a_sentence_with_the_line(tmp_path):
    """It used to end in a traceback."""
    assert "line 2" in refusal(tmp_path, "oven:\n  heat: [1\n")


def test_a_block_cannot_be_changed_after_it_was_read():
    with pytest.raises(ValueError, match="frozen"):
        Oven(heat=1).heat = 2
