"""chexnext/params.yaml: read strictly, with sentences that name the key."""

from pathlib import Path

import pytest
import yaml

from cxr14.config.chexnext import (
    read_chexnext_loss,
    read_members,
    read_noise,
    read_recipe,
    read_relabel,
    read_select,
    read_students,
)
from cxr14.config.reader import ParamsError
from cxr14.labels import FINDINGS

SHIPPED = Path(__file__).resolve().parents[2] / "chexnext" / "params.yaml"


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write the shipped file, changed, into a folder of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chexnext").mkdir()

    def write(block: str = "members", **changes) -> None:
        content = yaml.safe_load(SHIPPED.read_text())
        content[block] |= changes
        Path("chexnext/params.yaml").write_text(yaml.safe_dump(content))

    write()
    return write


def test_the_shipped_file_is_right(params) -> None:
    assert set(yaml.safe_load(SHIPPED.read_text())) == {
        "noise", "loss", "train", "members", "select", "relabel", "students",
    }  # fmt: skip
    assert all(0 < read_noise().of(name).missed < 1 for name in FINDINGS)
    assert read_members().folds == 1  # the paper's plain form
    read_students(), read_chexnext_loss(), read_select(), read_relabel()


def test_a_recipe_has_the_seed_of_its_network_and_the_overrides_of_its_backbone(params) -> None:
    params("train", overrides={"alexnet": {"epochs": 99}})
    assert (read_recipe("alexnet", 3).seed, read_recipe("alexnet", 3).epochs) == (3, 99)
    assert read_recipe("googlenet", 4).epochs != 99


@pytest.mark.parametrize(
    ("block", "changes", "told"),
    [
        ("members", {"seeds": [0, 1, 3], "folds": 3}, "fold 2 of 3 is left out by no member"),
        ("members", {"seeds": [0, 0, 1, 2]}, "names one twice"),
        ("members", {"backbones": []}, "at least 1 item"),
        ("relabel", {"mode": "mix"}, "'replace' or 'union'"),
        ("noise", {"rates": {"Rib": {"missed": 0, "wrong": 0}}}, "Rib is no finding"),
        ("noise", {"rates": {}}, "no others"),
        ("noise", {"scale": 2}, "noise.scale = 2"),
        ("train", {"seed": 4}, "train.seed = 4"),
        ("train", {"backbones": ["alexnet"]}, "train.backbones"),
        ("train", {"overrides": {"alexnet": {"seed": 4}}}, "train.overrides.alexnet.seed"),
    ],
)
def test_what_cannot_work_is_refused_by_its_key(params, block, changes, told) -> None:
    params(block, **changes)
    read = (read_noise, read_members, read_relabel, lambda: read_recipe("alexnet", 1))
    with pytest.raises(ParamsError) as raised:
        [own() for own in read]
    assert told in str(raised.value)
    assert "chexnext/params.yaml" in str(raised.value)


def test_a_scale_of_half_halves_every_rate(params) -> None:
    params("noise", scale=1.0)
    whole = read_noise().of("Pneumothorax")
    params("noise", scale=0.5)
    half = read_noise().of("Pneumothorax")
    assert (half.missed, half.wrong) == (whole.missed / 2, whole.wrong / 2)
    assert read_noise().of("Hernia") == read_noise().of("Fibrosis")  # both by `others`
