"""Reasons of two states of dvc.lock."""

import copy

import pytest

from verify.differences import differences

LOCK = {
    "download": {
        "cmd": "python -m stages.download",
        "deps": [{"path": "src/cxr14/phantoms", "md5": "a"}],
        "params": {"params.yaml": {"data.phantom": {"images": 900, "seed": 14}}},
        "outs": [{"path": "data/raw", "md5": "b"}],
    },
    "eda": {
        "cmd": "python -m stages.eda",
        "deps": [{"path": "data/raw", "md5": "b"}],
        "outs": [{"path": "metrics/eda.json", "md5": "c"}],
    },
}


@pytest.fixture
def present():
    return copy.deepcopy(LOCK)


def test_equal_locks_have_no_differences(present):
    assert [*differences(LOCK, present)] == []


def test_another_output_of_equal_inputs_is_a_cause_and_what_reads_it_follows(present):
    present["download"]["outs"][0]["md5"] = "x"
    present["eda"]["deps"][0]["md5"] = "x"
    first, second = differences(LOCK, present)
    assert (first.stage, first.is_cause) == ("download", True)
    assert "another processor" in first.reason
    assert second == ("eda", "other inputs: data/raw", False)


def test_a_changed_param_is_named_with_both_values(present):
    present["download"]["params"]["params.yaml"]["data.phantom"]["images"] = 60
    present["download"]["outs"][0]["md5"] = "x"
    (found,) = differences(LOCK, present)
    assert found.reason == "other params: data.phantom.images 900 → 60"


def test_changed_code_is_named_and_whether_it_changed_an_output(present):
    present["download"]["deps"][0]["md5"] = "x"
    (found,) = differences(LOCK, present)
    assert found.reason == "changed code: src/cxr14/phantoms (same outputs)"
    assert found.is_cause


def test_stages_of_one_side_only_are_listed(present):
    present["train@alexnet"] = present.pop("eda")
    assert [(found.stage, found.is_cause) for found in differences(LOCK, present)] == [
        ("train@alexnet", True),
        ("eda", True),
    ]
