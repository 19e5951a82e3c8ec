"""What may not be among the outputs of the pipeline, because a run would delete it."""

import json
import os
from pathlib import Path

import pytest

from cxr14.datasets import outputs
from cxr14.datasets.manifest import list_images
from cxr14.datasets.outputs import (
    WRITTEN,
    check_foreign,
    check_links,
    check_user_folder,
    output_paths,
    recorded_listings,
    recorded_outputs,
)
from cxr14.datasets.raw import ARCHIVES, FACTS, IMAGE_TABLE, TABLES, folder_md5, place_archive
from cxr14.errors import UserError

GRAPH = """
stages:
  download:
    cmd: x
    outs:
    - data/raw/tables: {persist: true}
    - data/raw/archives
  train:
    matrix: {backbone: [alexnet]}
    cmd: x
    outs:
    - models/${item.backbone}
    metrics:
    - metrics/train/${item.backbone}.json: {cache: false}
"""
OUTPUTS = ["data/raw/tables", "data/raw/archives", "models/*"]


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A repository with a graph of its own; the current folder."""
    root = tmp_path / "repository é x"
    root.mkdir()
    (root / "dvc.yaml").write_text(GRAPH)
    monkeypatch.chdir(root)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return root


@pytest.fixture
def own(tmp_path) -> Path:
    """A folder of the user with an image."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "00000001_000.png").write_bytes(b"x")
    return tmp_path / "own"


def test_outputs_are_those_of_both_pipelines_as_seen_from_the_root(root):
    (root / "chexnext").mkdir()
    stage = "stages: {a: {cmd: x, wdir: .., outs: [chexnext/data/folds]}}"
    (root / "chexnext" / "dvc.yaml").write_text(stage)
    assert output_paths(root) == [*OUTPUTS, "metrics/train/*.json", "chexnext/data/folds"]


def test_the_folders_that_are_looked_into_are_outputs_of_this_repository():
    """One that is renamed in dvc.yaml would not be looked into."""
    listed = output_paths(Path(outputs.__file__).resolve().parents[3])
    assert set(WRITTEN) | {str(TABLES), str(ARCHIVES)} <= set(listed)


@pytest.mark.parametrize(
    "name", ["data/raw/archives", "data/raw/archives/x", "data", ".", "models/a"]
)
def test_a_users_folder_among_the_outputs_is_refused(root, name):
    (root / name).mkdir(parents=True, exist_ok=True)
    with pytest.raises(UserError, match=r"data\.folder .* an output of the pipeline"):
        check_user_folder(root / name, root)
    with pytest.raises(UserError, match=r"^data\.mirror .* set data\.mirror to it"):
        check_user_folder(root / name, root, "data.mirror")


def test_a_users_folder_that_reaches_outputs_by_a_link_is_refused(root, tmp_path):
    (root / "models").mkdir()
    (tmp_path / "link").symlink_to(root / "models")
    with pytest.raises(UserError, match=r"is in models/\*, an output"):
        check_user_folder(tmp_path / "link", root)
    (root / "data").mkdir()
    (root / "data" / "raw").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is in data/raw/tables, an output"):
        check_user_folder(tmp_path / "elsewhere" / "tables" / "mine", root)


def test_a_users_folder_that_is_a_link_to_itself_is_left_to_the_listing(root, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    check_user_folder(tmp_path / "loop", root)
    with pytest.raises(FileNotFoundError, match=r"loop \(data\.folder\) is not a folder"):
        list_images(tmp_path / "loop")


@pytest.mark.parametrize("name", ["data/raw/images", "data/mine", ".scratch/download"])
def test_a_users_folder_beside_the_outputs_is_fine_unless_it_becomes_an_output(root, name):
    check_user_folder(root / name, root)
    (root / "dvc.yaml").write_text(f"stages: {{a: {{cmd: x, outs: [{name}]}}}}")
    with pytest.raises(UserError, match=rf"is in {name}, an output"):
        check_user_folder(root / name, root)


@pytest.mark.parametrize("name", ["data", "data/raw", "data/raw/archives", "models", "models/a"])
def test_a_link_in_the_place_of_an_output_is_refused_and_nothing_is_touched(root, own, name):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).symlink_to(own)
    with pytest.raises(UserError, match=rf"^{name} is a link to .*rm {name}"):
        check_links(root, OUTPUTS)
    assert [path.name for path in own.iterdir()] == ["00000001_000.png"]


def test_a_link_at_data_raw_images_is_nobodys_business(root, own):
    """Users place their images there; it was an output, and the first run emptied it."""
    (root / "data" / "raw").mkdir(parents=True)
    (root / "data" / "raw" / "images").symlink_to(own)
    check_links(root, OUTPUTS)
    check_foreign(root, OUTPUTS, None)
    with pytest.raises(UserError, match=r"^data/raw/images is a link to "):
        check_links(root, [*OUTPUTS, "data/raw/images"])


@pytest.mark.parametrize(
    "name",
    [
        "models/alexnet/mine.pt",
        "models/alexnet/deep/weights.safetensors",
        "data/raw/archives/mine.png",
        "data/raw/archives/images_001.tar.gz",
        "data/raw/tables/Data_Entry_2017_v2020.csv",
        "data/external/city/labels.csv",
    ],
)
def test_files_that_no_stage_wrote_are_refused_by_name(root, name):
    (root / name).parent.mkdir(parents=True)
    (root / name).write_bytes(b"x")
    with pytest.raises(UserError, match=rf"'{name}': no stage wrote this file"):
        check_foreign(root, [*OUTPUTS, "data/external/*"], None)
    assert (root / name).read_bytes() == b"x"


def test_a_hard_link_of_the_users_file_is_refused_too(root, own):
    (root / ARCHIVES).mkdir(parents=True)
    os.link(own / "00000001_000.png", root / ARCHIVES / "images_001.tar")
    with pytest.raises(UserError, match=r"images_001\.tar'"):
        check_foreign(root, OUTPUTS, None)


def test_what_the_stages_wrote_is_not_foreign_nor_what_a_kill_left(root):
    (root / "models/alexnet").mkdir(parents=True)
    for name in ("weights.safetensors", "model.json", ".model.json.ab_12cd4.json", ".DS_Store"):
        (root / "models/alexnet" / name).write_bytes(b"x")
    (root / ARCHIVES).mkdir(parents=True)
    (root / ARCHIVES / ".images_001.tar.new").write_bytes(b"archive")
    check_foreign(root, OUTPUTS, None)
    place_archive(root / ARCHIVES / ".images_001.tar.new", root / ARCHIVES / "images_001.tar")
    check_foreign(root, OUTPUTS, None)
    (root / TABLES).mkdir(parents=True)
    for name in (IMAGE_TABLE, "manifest.csv", "oddities.csv"):
        (root / TABLES / name).write_bytes(b"x")
    facts = {"source": "folder", "phantom": False, "base": "x"}
    (root / TABLES / FACTS).write_text(json.dumps(facts))
    check_foreign(root, OUTPUTS, None)
    (root / TABLES / "mine.csv").write_bytes(b"x")
    with pytest.raises(UserError, match=r"tables/mine\.csv'"):
        check_foreign(root, OUTPUTS, None)


def test_an_archive_that_was_pulled_is_known_by_dvc_lock(root):
    (root / ARCHIVES).mkdir(parents=True)
    (root / ARCHIVES / "images_001.tar").write_bytes(b"archive")
    lock = {"stages": {"download": {"outs": [{"path": str(ARCHIVES), "md5": "?"}]}}}
    (root / "dvc.lock").write_text(json.dumps(lock))
    with pytest.raises(UserError, match="no stage wrote"):
        check_foreign(root, OUTPUTS, None)
    lock["stages"]["download"]["outs"][0]["md5"] = folder_md5(root / ARCHIVES)
    (root / "dvc.lock").write_text(json.dumps(lock))
    check_foreign(root, OUTPUTS, None)


def test_a_link_to_a_download_is_known_by_the_download(root):
    download = root / ".scratch/download/images_001.tar.gz"
    download.parent.mkdir(parents=True)
    download.write_bytes(b"archive")
    (root / ARCHIVES).mkdir(parents=True)
    os.link(download, root / ARCHIVES / "images_001.tar.gz")
    check_foreign(root, OUTPUTS, None)
    download.unlink()
    with pytest.raises(UserError, match="no stage wrote this file"):
        check_foreign(root, OUTPUTS, None)


def test_listings_come_from_dvcs_lock_and_cache(root, tmp_path):
    lock = {
        "stages": {
            "train@alexnet": {"outs": [{"path": "models/alexnet", "md5": "abcd.dir"}]},
            "report": {"outs": [{"path": "a.json", "md5": "0123"}, {"path": "unknown"}]},
            "lost": {"outs": [{"path": "gone", "md5": "ffff.dir"}]},
        }
    }
    (root / "dvc.lock").write_text(json.dumps(lock))
    listing = [{"md5": "11", "relpath": "old.bin"}]
    (tmp_path / "cache" / "ab").mkdir(parents=True)
    (tmp_path / "cache" / "ab" / "cd.dir").write_text(json.dumps(listing))
    assert [path for path, _ in recorded_outputs(root)] == ["models/alexnet", "a.json", "gone"]
    assert recorded_listings(root, tmp_path / "cache") == {
        "models/alexnet": {"old.bin": "11"},
        "a.json": {"": "0123"},
    }
    (root / "models/alexnet").mkdir(parents=True)
    (root / "models/alexnet/old.bin").write_bytes(b"x")
    check_foreign(root, OUTPUTS, tmp_path / "cache")


def test_every_output_that_is_a_folder_is_looked_into():
    """Files of the user in report/ or chexnext/ were deleted without a word."""
    listed = output_paths(Path(outputs.__file__).resolve().parents[3])
    folders = {path for path in listed if "." not in Path(path).name}
    assert folders - {str(TABLES), str(ARCHIVES)} == set(WRITTEN)


@pytest.mark.parametrize("name", ["report/mine.pdf", "chexnext/data/folds/mine.png"])
def test_a_file_in_any_folder_output_is_refused(root, name):
    (root / name).parent.mkdir(parents=True)
    (root / name).write_bytes(b"x")
    with pytest.raises(UserError, match=rf"'{name}': no stage wrote this file"):
        check_foreign(root, list(WRITTEN), None)


CONFLICT = "stages:\n<<<<<<< HEAD\n  a: 1\n=======\n  a: 2\n>>>>>>> b\n"


@pytest.mark.parametrize("content", ["", CONFLICT, "[1]", "stages: 5", "stages: {a: {outs: 5}}"])
@pytest.mark.parametrize("lock", ["dvc.lock", "chexnext/dvc.lock"])
def test_a_broken_lock_is_one_sentence_with_the_way_out(root, content, lock):
    (root / "chexnext").mkdir()
    (root / "chexnext/dvc.yaml").write_text("stages: {}")
    (root / lock).write_text(content)
    with pytest.raises(UserError, match=rf"git checkout {lock}$"):
        list(recorded_outputs(root))


@pytest.mark.parametrize("content", ["", "[{", "[5]", '[{"md5": "1"}]'])
def test_a_damaged_listing_in_the_cache_is_named_to_be_removed(root, tmp_path, content):
    lock = {"stages": {"a": {"outs": [{"path": "models/alexnet", "md5": "abcd.dir"}]}}}
    (root / "dvc.lock").write_text(json.dumps(lock))
    (tmp_path / "cache" / "ab").mkdir(parents=True)
    (tmp_path / "cache" / "ab" / "cd.dir").write_text(content)
    with pytest.raises(UserError, match=r"models/alexnet; .*\n  rm -f '.*cd\.dir'\n  dvc repro"):
        recorded_listings(root, tmp_path / "cache")


@pytest.mark.parametrize("content", ["5", "{", "null"])
def test_a_damaged_record_of_archives_makes_them_foreign(root, content):
    (root / ARCHIVES).mkdir(parents=True)
    (root / ARCHIVES / "images_001.tar").write_bytes(b"archive")
    (root / ARCHIVES).with_name("written.json").write_text(content)
    with pytest.raises(UserError, match=r"images_001\.tar': no stage wrote"):
        check_foreign(root, OUTPUTS, None)
