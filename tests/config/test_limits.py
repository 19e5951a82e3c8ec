"""Values of a wrong type or of an absurd size, in every block."""

from typing import Any

import pytest
import yaml

from cxr14.config.blocks import (
    DataParams,
    EvaluateParams,
    LossParams,
    ModelParams,
    PreprocessParams,
    SplitParams,
    TrainParams,
)
from cxr14.config.chexnext import MembersParams, NetworksParams, NoiseParams
from cxr14.config.localize import LocalizeParams
from cxr14.config.reader import MAX_PROBLEMS, ParamsError, check_block
from tests.conftest import ROOT

BLOCKS = {
    "data": DataParams,
    "split": SplitParams,
    "preprocess": PreprocessParams,
    "model": ModelParams,
    "loss": LossParams,
    "train": TrainParams,
    "evaluate": EvaluateParams,
    "localize": LocalizeParams,
    "noise": NoiseParams,
    "members": MembersParams,
    "students": NetworksParams,
}
FILES = [
    yaml.safe_load((ROOT / name).read_text()) for name in ("chexnext/params.yaml", "params.yaml")
]
CONTENT: dict[str, Any] = FILES[0] | FILES[1]


def leaves(value: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Any]]:
    """Every value of a block with its path; of train.overrides none, which repeat keys."""
    if not isinstance(value, dict) or "overrides" in path:
        return [(path, value)]
    return [leaf for key, own in value.items() for leaf in leaves(own, (*path, key))]


LEAVES = [leaf for name in BLOCKS for leaf in leaves(CONTENT[name], (name,))]
NUMBERS = [
    path
    for path, value in LEAVES
    if type(value) in (int, float) and path[-1] not in ("output_stride", "layer")  # choices
]


def changed(path: tuple[str, ...], value: Any) -> Any:
    """The content of a block with one value changed."""

    def within(old: Any, keys: tuple[str, ...]) -> Any:
        return value if not keys else old | {keys[0]: within(old[keys[0]], keys[1:])}

    return within(CONTENT[path[0]], path[1:])


def refusal(path: tuple[str, ...], value: Any) -> str:
    with pytest.raises(ParamsError) as caught:
        check_block(path[0], BLOCKS[path[0]], changed(path, value), "params.yaml")
    assert ".".join(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("path", NUMBERS, ids=".".join)
def test_every_number_has_an_upper_and_a_lower_bound_that_its_error_shows(path):
    for absurd in (10**30, -(10**30)):
        assert "(allowed: " in refusal(path, absurd)
    above = refusal(path, 10**30)
    assert "at most" in above or "below" in above


@pytest.mark.parametrize("path", NUMBERS, ids=".".join)
@pytest.mark.parametrize(
    "value", [True, "8", None, [8], float("nan"), float("inf"), float("-inf")], ids=repr
)
def test_nothing_but_a_finite_number_is_taken_for_one(path, value):
    refusal(path, value)


@pytest.mark.parametrize(
    "path", [path for path in NUMBERS if type(dict(LEAVES)[path]) is int], ids=".".join
)
def test_a_fraction_is_no_whole_number(path):
    refusal(path, 2.5)


@pytest.mark.parametrize(
    ("path", "value", "allowed"),
    [
        (("train", "input_size"), 10**9, "at least 32 and at most 1024"),
        (("train", "epochs"), 10**9, "above 0 and at most 100000"),
        (("train", "batch_size"), 10**12, "above 1 and at most 65536"),
        (("train", "processes"), 10**6, "above 0 and at most 256"),
        (("train", "seed"), 2**63, "at least 0 and at most 9223372036854775807"),
        (("train", "learning_rate"), 1e300, "above 0 and at most 100"),
        (("train", "augment", "rotation"), 10**9, "at least 0 and at most 180"),
        (("preprocess", "size"), 10**7, "at least 32 and at most 1024"),
        (("preprocess", "workers"), -1, "at least 0 and at most 1024"),
        (("data", "connections"), 17, "at least 1 and at most 16"),
        (("data", "phantom", "images"), 10**9, "above 0 and at most 112120"),
        (("model", "transition_channels"), 10**8, "above 0 and at most 16384"),
        (("localize", "batch_size"), 0, "above 0 and at most 65536"),
        (("members", "folds"), 10**9, "at least 1 and at most 1000"),
    ],
)
def test_an_absurd_size_is_refused_with_the_allowed_range(path, value, allowed):
    assert f"= {value!r}: " in refusal(path, value)
    assert f"(allowed: {allowed})" in refusal(path, value)


@pytest.mark.parametrize("seeds", [[-1], [2**64], ["0; touch x"], ["0"], [True], [1.0], [{"a": 1}]])
@pytest.mark.parametrize("group", ["members", "students"])
def test_seeds_are_whole_numbers(group, seeds):
    refusal((group, "seeds"), seeds)


@pytest.mark.parametrize("seed", [0, 2**31, 2**62, 2**63 - 1])
def test_large_seeds_that_libraries_can_hold_are_taken(seed):
    block = changed(("train", "seed"), seed)
    assert check_block("train", TrainParams, block, "params.yaml").seed == seed


def test_switches_are_true_or_false_and_nothing_that_looks_like_it():
    for value in ("yes", "no", "on", 1, 0, "true", None):
        refusal(("train", "compile"), value)
        refusal(("split", "official"), value)


@pytest.mark.parametrize("path", [("data", "folder"), ("data", "mirror"), ("model", "weights")])
@pytest.mark.parametrize("value", ["", "a\0b", "a\nb", "\x1b[2J", "x" * 5000], ids=ascii)
def test_paths_are_one_line_of_printable_text(path, value):
    assert "\x1b" not in refusal(path, value)


@pytest.mark.parametrize(
    "name",
    ["a;b", "$(touch x)", "`x`", "a b", "../../docs", "/etc", ".", "", "a/b", "a'b", "a\nb", "é",
     "-rf", "a" * 65, "x" * 10**6, "a\0", "${HOME}", "resnet50\n"],
    ids=lambda name: ascii(name[:20]),
)  # fmt: skip
@pytest.mark.parametrize("group", ["train", "members", "students"])
def test_a_backbone_is_a_name_and_no_path_or_command(group, name):
    sentence = refusal((group, "backbones"), ["alexnet", name])
    assert "is not the name of a backbone; allowed are torchvision's names" in sentence
    assert len(sentence) < 800


@pytest.mark.parametrize("group", ["train", "members", "students"])
def test_a_backbone_named_twice_is_refused(group):
    assert "names one twice" in refusal((group, "backbones"), ["alexnet", "alexnet"])


def test_a_wrong_value_of_any_length_is_cut_and_escaped():
    sentence = refusal(("loss", "name"), "\x1b[2J" + "x" * 10**6)
    assert len(sentence) < 600
    assert "\x1b" not in sentence
    assert r"'\x1b[2Jxxx" in sentence


def test_unknown_keys_of_any_length_and_number_make_one_short_sentence():
    values = CONTENT["loss"] | {f"{n}" + "k" * 10**5: 1 for n in range(1000)}
    with pytest.raises(ParamsError) as caught:
        check_block("loss", LossParams, values, "params.yaml")
    assert f"and {1000 - MAX_PROBLEMS} more" in str(caught.value)
    assert len(str(caught.value)) < 3000


@pytest.mark.parametrize(
    ("batch_size", "processes", "told"),
    [
        (16, 3, r"16, which 3 processes .* a multiple of 3 from 6 on"),
        # One image each, and the last map is a single cell: batch normalisation has one value.
        (2, 2, r"2, which 2 processes .* a multiple of 2 from 4 on"),
    ],
)
def test_a_batch_that_processes_cannot_share_is_refused_before_any_data_is_read(
    batch_size, processes, told
):
    values = CONTENT["train"] | {"batch_size": batch_size, "processes": processes}
    with pytest.raises(ParamsError, match=told):
        check_block("train", TrainParams, values, "params.yaml")
