"""Recipes laid over params.yaml: only their keys change, and DVC makes the same changes."""

import shutil
import subprocess
from pathlib import Path

import pytest
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from cxr14.config.check import check_contents
from cxr14.config.overlays import (
    ABSENT,
    CHEXNEXT,
    PARAMS,
    as_settings,
    differences,
    lay_over,
    overlay_names,
    parse_setting,
    plan_params,
    read_overlay,
)
from cxr14.config.reader import ParamsError, read_yaml
from cxr14.errors import UserError
from tests.conftest import ROOT

TEXT = (ROOT / PARAMS).read_text()
RECIPES = ["chexnet", "chexnext", "course", "ours", "smoke", "wang2017"]
SOURCES = ["csv", "folder", "nih", "phantom"]


def leaves(tree: dict, path: str = "") -> dict[str, object]:
    """Dotted keys and values; mappings that are empty are values."""
    found: dict[str, object] = {}
    for name, value in tree.items():
        inner = leaves(value, f"{path}{name}.") if isinstance(value, dict) and value else {}
        found |= inner or {f"{path}{name}": value}
    return found


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository with params of both pipelines and the recipes, committed."""
    for name in (PARAMS, CHEXNEXT):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    commit("Start")
    return tmp_path


def git(*words: str) -> None:
    subprocess.run(["git", *words], check=True, capture_output=True)


def commit(message: str) -> None:
    git("add", "-A")
    git("-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-q", "-m", message)


def use(*names: str, settings: tuple[str, ...] = ()) -> None:
    for file, (_, after) in plan_params(names, settings).items():
        Path(file).write_text(after)


def test_every_recipe_has_a_title_of_one_line(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert overlay_names() == sorted([*RECIPES, *SOURCES])
    for name in overlay_names():
        title = read_overlay(name).title
        assert title.endswith((".", "/is", ".md"))
        assert len(title) <= 100


def test_the_recipes_set_the_same_keys_so_that_nothing_of_one_remains_in_the_next(monkeypatch):
    monkeypatch.chdir(ROOT)
    trees = {name: read_yaml(f"recipes/{name}.yaml") for name in RECIPES}
    for tree in trees.values():
        tree.pop("chexnext", None)
    first = leaves(trees["ours"]).keys()
    assert all(leaves(tree).keys() == first for tree in trees.values())
    sources = {frozenset(leaves(read_yaml(f"recipes/{name}.yaml"))) for name in SOURCES}
    assert sources == {frozenset({"numerics", "data.source"})}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_changes_its_keys_only(name, repository):
    before = {file: leaves(read_yaml(file)) for file in (PARAMS, CHEXNEXT)}
    tree = read_overlay(name).tree
    wanted = {CHEXNEXT: leaves(tree.pop("chexnext", {})), PARAMS: leaves(tree)}
    del wanted[PARAMS]["train.overrides"]  # {}, completed by the backbones
    use(name)
    for file, values in wanted.items():
        after = leaves(read_yaml(file))
        assert values.items() <= after.items()
        kept = {key for key in before[file] if key not in values}
        kept = {key for key in kept if not key.startswith("train.overrides.")}
        assert {key: after[key] for key in kept} == {key: before[file][key] for key in kept}
    check_contents({file: Path(file).read_text() for file in (PARAMS, CHEXNEXT)})


def test_lines_of_other_keys_and_all_comments_of_changed_keys_stay():
    after = lay_over(TEXT, [parse_setting("split.val_fraction=0.1")], PARAMS)
    changed = [
        pair for pair in zip(TEXT.splitlines(), after.splitlines(), strict=True) if len({*pair}) > 1
    ]
    (before, now) = changed[0]
    assert len(changed) == 1
    assert before.replace("0.12 ", "0.1  ") == now
    assert lay_over(TEXT, [], PARAMS) == TEXT


def test_equal_values_keep_the_form_in_which_they_are_written():
    text = "train:\n  rate: 1e-4  # quoted\n  name: 'adam'\n  flag: true\n"
    assert lay_over(text, [{"train": {"rate": 0.0001, "name": "adam"}}], PARAMS) == text
    assert "flag: 1" in lay_over(text, [{"train": {"flag": 1}}], PARAMS)


def test_overrides_of_backbones_are_replaced_whole():
    tree = {"train": {"overrides": {"vgg16": {"epochs": 7}}}}
    assert read(lay_over(TEXT, [tree], PARAMS))["train"]["overrides"] == {"vgg16": {"epochs": 7}}


def read(text: str) -> dict:
    return YAML(typ="safe").load(text)


def test_every_backbone_has_overrides_as_the_stages_refer_to_them(repository):
    use("wang2017")
    assert read_yaml(PARAMS)["train"]["overrides"] == {"resnet50": {}}
    use(settings=("train.backbones=[resnet18, vgg16]", "train.overrides.resnet50={epochs: 2}"))
    overrides = read_yaml(PARAMS)["train"]["overrides"]
    assert overrides == {"resnet18": {}, "vgg16": {}, "resnet50": {"epochs": 2}}


def test_a_setting_of_one_backbone_leaves_those_of_the_others(repository):
    before = read_yaml(PARAMS)["train"]["overrides"]
    use(settings=("train.overrides.vgg16.epochs=7", "train.overrides.timm:vit_tiny.epochs=2"))
    after = read_yaml(PARAMS)["train"]["overrides"]
    changed = {"vgg16": before["vgg16"] | {"epochs": 7}, "timm:vit_tiny": {"epochs": 2}}
    assert after == before | changed


def test_a_later_recipe_and_a_setting_come_last(repository):
    use("nih", "chexnet", "ours", settings=("train.epochs=3", "data.source=folder"))
    params = read_yaml(PARAMS)
    assert params["train"]["optimizer"] == "adamw"
    assert params["train"]["epochs"] == 3
    assert params["data"]["source"] == "folder"


def test_phantom_gives_back_the_committed_file_byte_for_byte(repository):
    committed = {file: Path(file).read_bytes() for file in (PARAMS, CHEXNEXT)}
    use("nih", "chexnext", settings=("localize.layer=last",))
    commit("Use the real set")
    use("ours")
    commit("Use another recipe")
    use("phantom")
    assert {file: Path(file).read_bytes() for file in committed} == committed
    use("phantom", "smoke")
    assert read_yaml(PARAMS)["train"]["backbones"] == ["alexnet"]


def test_without_a_commit_of_phantoms_the_error_says_so(repository):
    Path(PARAMS).write_text(TEXT.replace("source: phantom", "source: nih"))
    git("commit", "-qa", "--amend", "--author=T <t@example.org>", "-m", "Start")
    with pytest.raises(UserError, match="no commit of this clone has a params"):
        plan_params(["phantom"], [])


@pytest.mark.parametrize("names", [["nih", "chexnext"], ["nih", "wang2017"], ["nih", "ours"]])
def test_dvc_makes_the_same_changes_from_the_settings(names, repository):
    planned = plan_params(names, ["data.mirror=/it's, a=b"])
    for file, texts in planned.items():
        changes = differences(*texts, file)
        assert changes or file == CHEXNEXT
        words = [word.removeprefix(f"{CHEXNEXT}:") for word in as_settings(changes)]
        apply_overrides(file, words)
        made = read_yaml(file)
        wanted = read(texts[1])
        if file == PARAMS:  # null means none, and so does {}
            kept = [
                name for name in made["train"]["overrides"] if name in wanted["train"]["backbones"]
            ]
            made["train"]["overrides"] = {
                name: made["train"]["overrides"][name] or {} for name in kept
            }
        assert made == wanted


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-99, 10**6), st.floats(-1e9, 1e9),
    st.text(st.characters(codec="ascii", min_codepoint=32), max_size=12),
    st.lists(st.sampled_from(["Mass", "No Finding", "it's", "a,b"]), max_size=3),
)  # fmt: skip


@given(value=VALUES)
def test_dvc_reads_every_value_as_it_is_written(value, tmp_path_factory):
    file = tmp_path_factory.mktemp("values") / PARAMS
    file.write_text("block:\n  key: before\n")
    after = lay_over(file.read_text(), [{"block": {"key": value}}], PARAMS)
    assert read(after)["block"]["key"] == value
    apply_overrides(file, as_settings(differences(file.read_text(), after, PARAMS)))
    assert read(file.read_text())["block"]["key"] == value


def test_differences_name_keys_that_appear_and_disappear():
    before, after = (
        "train: {overrides: {x: {p: 1}}, y: 2}\n",
        "train: {overrides: {z: [4]}, y: 3}\n",
    )
    changes = differences(before, after, PARAMS)
    assert [tuple(change)[1:] for change in changes] == [
        ("train.overrides.x", {"p": 1}, ABSENT),
        ("train.overrides.z", ABSENT, [4]),
        ("train.y", 2, 3),
    ]
    settings = ["train.overrides.x=null", "+train.overrides.z=[4]", "train.y=3"]
    assert as_settings(changes) == settings
    assert as_settings([changes[2]._replace(file=CHEXNEXT)]) == ["chexnext/params.yaml:train.y=3"]


def test_the_end_of_an_external_set_is_refused_with_another_way():
    before, after = "external: {town: {source: folder}}\n", "external: {}\n"
    with pytest.raises(UserError, match=r"DVC cannot pass external.*then `dvc exp run --temp`"):
        as_settings(differences(before, after, PARAMS))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{alexnet: {}}", "{alexnet: {}, timm:vit_x: {epochs: 2, augment: {flip: 0.5}}}"),
        ("{timm:x: {epochs: 1, warmup: 2}}", "{timm:x: {epochs: 5, warmup: 2}}"),
        ("{timm:x: null}", "{timm:x: {optimizer: 'it''s: sgd'}}"),
        ("{timm:x: {epochs: 1}, alexnet: {}}", "{timm:x: null, alexnet: {}}"),
    ],
)
def test_dvc_takes_overrides_of_names_with_a_colon(before, after, tmp_path):
    file = tmp_path / PARAMS
    texts = [f"train:\n  overrides: {text}\n" for text in (before, after)]
    file.write_text(texts[0])
    settings = as_settings(differences(*texts, PARAMS))
    assert [*to_path_overrides(settings)] == [PARAMS]
    apply_overrides(file, settings)
    assert read(file.read_text()) == read(texts[1])


def test_an_empty_mapping_removes_all_external_sets(repository):
    use(settings=("external={town: {source: folder, folder: /town}}",))
    assert read_yaml(PARAMS)["external"] == {"town": {"source": "folder", "folder": "/town"}}
    use(settings=("external={}",))
    assert Path(PARAMS).read_text() == TEXT


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("train.epochs", "write KEY=VALUE"),
        ("=3", "write KEY=VALUE"),
        ("train..epochs=3", "write KEY=VALUE"),
        ("train.epochs=[1", "write KEY=VALUE"),
        ("train.epocs=3", "has no key 'train.epocs'; did you mean train.epochs"),
        ("train.epochs.x=3", "train.epochs is a value and has no keys"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_sentence(setting, sentence, repository):
    with pytest.raises(UserError, match=r"params|KEY") as caught:
        use(settings=(setting,))
    assert sentence in str(caught.value)
    assert Path(PARAMS).read_text() == TEXT


def test_an_unknown_recipe_is_refused_with_the_nearest_one(repository):
    with pytest.raises(UserError, match="has no 'wang2016'; did you mean wang2017"):
        plan_params(["wang2016"], [])


def test_values_are_checked_before_anything_is_written(repository):
    planned = plan_params([], ["data.source=folder"])
    with pytest.raises(UserError, match=r"data\.folder names none; set data\.folder"):
        check_contents({file: after for file, (_, after) in planned.items()})
    with pytest.raises(ParamsError, match="is no YAML"):
        check_contents({PARAMS: "train: ["})
