"""The stage `pretrained` with a file of one's own."""

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from stages import pretrained
from tests.conftest import ROOT

MINE = "mine.safetensors"


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A repository with a file of weights, which alexnet starts from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    write_params(MINE)
    save_file({"a": torch.zeros(3)}, MINE)
    pretrained.main("alexnet")


def write_params(weights: str) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["model"]["weights"] = weights
    Path("params.yaml").write_text(yaml.safe_dump(params))


def test_the_file_is_copied_as_it_is():
    copy = Path("data/pretrained/alexnet/weights.safetensors")
    assert copy.read_bytes() == Path(MINE).read_bytes()
    pretrained.main(check_only=True)


def test_a_file_that_has_become_another_one_is_noticed():
    """DVC knows its name alone: `dvc repro` was up to date, and trained from the old weights."""
    save_file({"a": torch.ones(3)}, MINE)
    told = (
        r"^model\.weights: mine\.safetensors is no longer the file that data/pretrained/alexnet is"
    )
    with pytest.raises(ValueError, match=told):
        pretrained.main(check_only=True)
    pretrained.main("alexnet")
    pretrained.main(check_only=True)


def test_a_file_that_is_gone_or_no_longer_wanted_is_no_matter():
    save_file({"a": torch.ones(3)}, MINE)
    with pytest.raises(ValueError, match="is no longer the file"):
        pretrained.main(check_only=True)
    write_params("none")
    pretrained.main(check_only=True)
    write_params(MINE)
    Path(MINE).unlink()
    pretrained.main(check_only=True)


def test_without_a_backbone_nothing_is_written():
    with pytest.raises(ValueError, match="--backbone is missing"):
        pretrained.main()
