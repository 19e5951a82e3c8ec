"""Archives in data/raw are links to what was downloaded: their bytes are stored once."""

import hashlib
import os
import shutil
import subprocess
import sys

import pytest
import yaml

from cxr14.datasets import source
from cxr14.datasets.raw import place_archive
from tests.conftest import ROOT
from tests.datasets.download.catalogued import HALVES, bring
from tests.datasets.pictures import write_archive


def test_archives_are_links_to_what_was_downloaded_and_outlive_data_raw(nih_server, tmp_path):
    bring(tmp_path)
    asked = len(nih_server.log)
    for name in HALVES:
        archive = tmp_path / "archives" / name
        assert archive.samefile(tmp_path / "kept" / "catalogue" / name)
        archive.chmod(0o444)  # as DVC does
    shutil.rmtree(tmp_path / "archives")
    shutil.rmtree(tmp_path / "tables")
    bring(tmp_path)
    assert len(nih_server.log) == asked
    assert (tmp_path / "archives" / "images_001.tar.gz").samefile(
        tmp_path / "kept" / "catalogue" / "images_001.tar.gz"
    )


def test_archives_are_copied_where_links_are_not_possible(nih_server, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(source.os, "link", refuse)
    bring(tmp_path)
    for name in HALVES:
        copy, kept = tmp_path / "archives" / name, tmp_path / "kept" / "catalogue" / name
        assert copy.read_bytes() == kept.read_bytes()
        assert not copy.samefile(kept)
    assert {path.name for path in (tmp_path / "archives").iterdir()} == set(HALVES)


def test_an_archive_that_dvc_holds_is_replaced_and_not_written_through(nih_server, tmp_path):
    write_archive(tmp_path / "archives" / ".images_001.tar.gz.new", {})
    place_archive(
        tmp_path / "archives" / ".images_001.tar.gz.new",
        tmp_path / "archives" / "images_001.tar.gz",
    )
    held = tmp_path / "held"
    os.link(tmp_path / "archives" / "images_001.tar.gz", held)
    before = held.read_bytes()
    bring(tmp_path)
    assert held.read_bytes() == before


def test_dvc_links_the_archives_too_so_their_bytes_are_stored_once(tmp_path):
    def call(*command):
        environment = {name: value for name, value in os.environ.items() if name != "DVC_ROOT"}
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)

    kept = tmp_path / "kept.tar.gz"
    kept.write_bytes(os.urandom(10_000))
    if (
        subprocess.run(
            ["cp", "--reflink=always", kept, tmp_path / "x"], capture_output=True
        ).returncode
        == 0
    ):
        pytest.skip("this file system shares blocks between files of their own")
    call("git", "init", "--quiet")
    call(sys.executable, "-m", "dvc", "init", "--quiet")
    shutil.copyfile(ROOT / ".dvc" / "config", tmp_path / ".dvc" / "config")
    stage = {"cmd": "mkdir -p out && ln kept.tar.gz out/a.tar.gz", "outs": ["out"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"link": stage}}))
    for _ in range(2):  # DVC removes the folder, not the bytes, before the second run
        call(sys.executable, "-m", "dvc", "repro", "--force")
        assert (tmp_path / "out" / "a.tar.gz").samefile(kept)
        md5 = hashlib.md5(kept.read_bytes()).hexdigest()
        assert (tmp_path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).samefile(kept)


def test_another_catalogue_takes_the_place_of_the_first_without_dvc_between(nih_server, tmp_path):
    """The links to the first one's downloads were refused as foreign."""
    bring(tmp_path)
    (tmp_path / "other.json").write_bytes((tmp_path / "catalogue.json").read_bytes())
    folders = (tmp_path / name for name in ("tables", "archives", "kept"))
    source.write_nih(*folders, None, 3, tmp_path / "other.json")
    for name in HALVES:
        assert (tmp_path / "archives" / name).samefile(tmp_path / "kept" / "other" / name)
