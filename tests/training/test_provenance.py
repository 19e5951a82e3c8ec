"""What a run is."""

import sys
from types import ModuleType

import pytest

import cxr14.io
from cxr14.training.checkpoint import code_hash, run_identity

FACTS = {
    "inputs": {"a.npy": "00", "b": "11"},
    "params": {"train": {"epochs": 3}},
    "code": "ff",
    "computed": {"device": "cpu", "torch": "2.15.0"},
}


def module(path, text: str) -> ModuleType:
    """A module with a source file."""
    path.write_text(text)
    made = ModuleType(path.stem)
    made.__file__ = str(path)
    return made


def test_the_order_of_keys_does_not_matter():
    turned = FACTS | {"inputs": dict(reversed(FACTS["inputs"].items()))}
    assert run_identity(**turned) == run_identity(**FACTS)
    assert len(run_identity(**FACTS)) == 64
    int(run_identity(**FACTS), 16)


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": {"a.npy": "01", "b": "11"}},
        {"inputs": {"a.npy": "00"}},
        {"params": {"train": {"epochs": 4}}},
        {"code": "fe"},
        {"computed": {"device": "cuda", "torch": "2.15.0"}},
        {"computed": {"device": "cpu", "torch": "2.16.0"}},
    ],
)
def test_inputs_params_code_device_and_torch_each_make_another_run(change):
    """With `device: auto` a training repeated on a GPU was not recorded: MLflow knew it already."""
    assert run_identity(**FACTS | change) != run_identity(**FACTS)


def test_the_code_is_that_of_our_modules_in_its_present_state(tmp_path, monkeypatch):
    assert sys.modules["cxr14.io"] is cxr14.io
    before = code_hash()
    assert code_hash() == before
    path = tmp_path / "extra.py"
    monkeypatch.setitem(sys.modules, "cxr14.extra", module(path, "x = 1\n"))
    first = code_hash()
    assert first != before
    path.write_text("x = 2\n")
    assert code_hash() not in (before, first)


@pytest.mark.parametrize("name", ["cxr14.tracking.extra", "cxr14_other", "numpy_extra"])
def test_what_watches_a_run_or_is_not_ours_does_not_count(tmp_path, monkeypatch, name):
    before = code_hash()
    monkeypatch.setitem(sys.modules, name, module(tmp_path / "extra.py", "x = 1\n"))
    assert code_hash() == before
