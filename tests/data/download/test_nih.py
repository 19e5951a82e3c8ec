"""NIH's catalogue, and the source `nih` from an empty folder to the cache."""

import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import yaml

from cxr14.data import sources
from cxr14.data.cache import ARRAY, INDEX
from cxr14.data.download.nih import CATALOGUE, is_archive, read_catalogue
from cxr14.data.packaged import packaged_file
from cxr14.data.preprocessing.engines import run_local
from cxr14.data.preprocessing.fill import fill_cache
from cxr14.data.raw import BOX_TABLE, FACTS, IMAGE_TABLE, LISTS, MANIFEST
from cxr14.data.sources import write_folder, write_nih
from cxr14.data.tables.records import read_boxes, read_images
from cxr14.files import read_json
from tests.data.download.faulty_server import Fault, FaultyServer
from tests.data.pictures import some_pngs, write_archive, write_loose

ROOT = Path(__file__).resolve().parents[3]
PNGS = some_pngs(6)
HALVES = {
    "images_001.tar.gz": dict(list(PNGS.items())[3:]),
    "images_002.tar.gz": dict(list(PNGS.items())[:3]),
}
TABLE = "header\n" + "".join(
    f"{name},Mass,0,{n},58,F,PA,1024,1024,0.1,0.1\n" for n, name in enumerate(PNGS)
)
SMALL = {
    IMAGE_TABLE: TABLE.encode(),
    BOX_TABLE: b"header\n",
    LISTS[0]: "\n".join(list(PNGS)[:4]).encode(),
    LISTS[1]: "\n".join(list(PNGS)[4:]).encode(),
}
NOTHING_ODD = {
    "images_in_no_table": 0,
    "refused_members": 0,
    "repeated_images": 0,
    "images_of_same_content": 0,
    "images_of_other_extension": 0,
}


# --- the facts ---


def test_the_catalogue_is_twelve_archives_two_tables_and_two_lists():
    names = [file.name for file in CATALOGUE]
    assert names[:4] == [IMAGE_TABLE, BOX_TABLE, *LISTS]
    assert names[4:] == [f"images_{n:03d}.tar.gz" for n in range(1, 13)]
    assert all(is_archive(name) for name in names[4:])
    for column in ("url", "md5", "bytes"):
        assert len({getattr(file, column) for file in CATALOGUE}) == 16
    assert sum(file.bytes for file in CATALOGUE[4:]) == 45_079_862_784  # 42.0 GiB


def test_the_packaged_tables_have_the_checksums_of_the_catalogue():
    for file in CATALOGUE[:2]:
        packed = packaged_file("torchxrayvision", f"torchxrayvision/data/{file.name}.gz")
        content = gzip.decompress(packed.read_bytes())
        if file.name == IMAGE_TABLE:  # the packaged copy has another word in its header
            content = content.replace(b"Patient Gender", b"Patient Sex", 1)
        assert (len(content), hashlib.md5(content).hexdigest()) == (file.bytes, file.md5)


def test_the_official_lists_have_the_checksums_of_the_catalogue(nih):
    for file in CATALOGUE[2:4]:
        content = (nih / file.name).read_bytes()
        assert (len(content), hashlib.md5(content).hexdigest()) == (file.bytes, file.md5)


# --- a stand-in for the catalogue ---

LINE = {"name": "images_001.tar.gz", "url": "http://a/b", "bytes": 3, "md5": "0" * 32}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "no JSON"),
        ('{"name": "x"}', "the whole"),
        ([{**LINE, "name": "../x"}], r"0\.name = '\.\./x'"),
        ([LINE, {**LINE, "url": "ftp://a"}], r"1\.url = 'ftp://a'"),
        ([{**LINE, "md5": "ABC"}], r"0\.md5 = 'ABC'"),
        ([{**LINE, "bytes": 0}], r"0\.bytes = 0"),
        ([{**LINE, "size": 3}], r"0\.size = 3"),
        ([{"name": "images_001.tar.gz", "url": "http://a/b", "bytes": 3}], r"0\.md5"),
        ([LINE, LINE], r"images_001\.tar\.gz stands there 2 times"),
        ([{**LINE, "name": "holiday.zip"}], r"holiday\.zip is none of"),
        ([], "lists no archive"),
    ],
)
def test_a_catalogue_that_cannot_work_is_refused_with_its_place(tmp_path, content, problem):
    path = tmp_path / "catalogue.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=rf"catalogue\.json: .*{problem}"):
        read_catalogue(path)


def test_a_catalogue_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json does not exist"):
        read_catalogue(tmp_path / "none.json")


def test_nihs_own_catalogue_survives_being_written_and_read(tmp_path):
    path = tmp_path / "catalogue.json"
    path.write_text(json.dumps([file.model_dump() for file in CATALOGUE]))
    assert read_catalogue(path) == CATALOGUE


# --- from the server to data/raw ---


@pytest.fixture
def server(tmp_path):
    """A server of two archives and four small files, and catalogue.json of them."""
    for name, pngs in HALVES.items():
        write_archive(tmp_path / "served" / name, pngs)
    archives = {name: (tmp_path / "served" / name).read_bytes() for name in HALVES}
    with FaultyServer(SMALL | archives) as server:
        write_catalogue(server, tmp_path)
        yield server


def write_catalogue(server, folder, names=None):
    lines = [server.entry(name) for name in names or server.files]
    (folder / "catalogue.json").write_text(json.dumps(lines))


def bring(folder, mirror=None):
    return write_nih(
        folder / "tables", folder / "images", folder / "kept", mirror, 3, folder / "catalogue.json"
    )


def test_what_is_downloaded_becomes_tables_lists_archives_and_a_manifest(server, tmp_path):
    counts = bring(tmp_path)
    assert counts == {"images": 6} | NOTHING_ODD | {"rows_without_image": 0}
    for name, content in SMALL.items():
        assert (tmp_path / "tables" / name).read_bytes() == content
    manifest = pd.read_csv(tmp_path / "tables" / MANIFEST)
    assert manifest.image.tolist() == list(PNGS)
    assert manifest.container.tolist() == ["images_002.tar.gz"] * 3 + ["images_001.tar.gz"] * 3
    facts = read_json(tmp_path / "tables" / FACTS)
    assert facts == {
        "source": "nih", "phantom": False, "base": None, "catalogue": "catalogue.json", **counts,
        "own_tables": [IMAGE_TABLE, BOX_TABLE, *LISTS],
    }  # fmt: skip


def test_a_mirror_gives_tables_lists_and_archives_alike(server, tmp_path):
    lines = [server.entry(name, url=f"http://nowhere.invalid/{name}") for name in server.files]
    (tmp_path / "catalogue.json").write_text(json.dumps(lines))
    assert bring(tmp_path, mirror=server.base)["images"] == 6
    assert sorted(name for name, *_ in server.log) == sorted(server.files)


def test_archives_are_links_to_what_was_downloaded_and_outlive_data_raw(server, tmp_path):
    bring(tmp_path)
    asked = len(server.log)
    for name in HALVES:
        archive = tmp_path / "images" / name
        assert archive.samefile(tmp_path / "kept" / "catalogue" / name)
        archive.chmod(0o444)  # as DVC does
    shutil.rmtree(tmp_path / "images")
    shutil.rmtree(tmp_path / "tables")
    bring(tmp_path)
    assert len(server.log) == asked
    assert (tmp_path / "images" / "images_001.tar.gz").samefile(
        tmp_path / "kept" / "catalogue" / "images_001.tar.gz"
    )


def test_archives_are_copied_where_links_are_not_possible(server, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(sources.os, "link", refuse)
    bring(tmp_path)
    for name in HALVES:
        copy, kept = tmp_path / "images" / name, tmp_path / "kept" / "catalogue" / name
        assert copy.read_bytes() == kept.read_bytes()
        assert not copy.samefile(kept)
    assert {path.name for path in (tmp_path / "images").iterdir()} == set(HALVES)


def test_archives_of_an_earlier_source_do_not_stay(server, tmp_path):
    write_archive(tmp_path / "images" / "images_001.tar", PNGS)
    bring(tmp_path)
    assert {path.name for path in (tmp_path / "images").iterdir()} == set(HALVES)


def test_an_archive_that_dvc_holds_is_replaced_and_not_written_through(server, tmp_path):
    write_archive(tmp_path / "images" / "images_001.tar.gz", {})
    held = tmp_path / "held"
    os.link(tmp_path / "images" / "images_001.tar.gz", held)
    before = held.read_bytes()
    bring(tmp_path)
    assert held.read_bytes() == before


def test_tables_that_a_catalogue_lacks_are_the_packaged_ones(server, tmp_path):
    write_catalogue(server, tmp_path, ["images_002.tar.gz"])
    counts = bring(tmp_path)
    assert counts == {"images": 3} | NOTHING_ODD | {"rows_without_image": 112_117}
    assert not any((tmp_path / "tables" / name).exists() for name in LISTS)


def test_nihs_table_and_the_packaged_one_say_the_same(tmp_path):
    for table, read in ((IMAGE_TABLE, read_images), (BOX_TABLE, read_boxes)):
        packed = packaged_file("torchxrayvision", f"torchxrayvision/data/{table}.gz")
        content = gzip.decompress(packed.read_bytes())
        (tmp_path / "packaged.csv").write_bytes(content)
        (tmp_path / "nih.csv").write_bytes(content.replace(b"Patient Gender", b"Patient Sex", 1))
        pd.testing.assert_frame_equal(read(tmp_path / "packaged.csv"), read(tmp_path / "nih.csv"))


# --- the download and Kaggle's copy end in the same cache ---


def same_cache_from_both(served, kaggle, folder, server, size):
    """Fill one cache through the server and one from Kaggle's layout; their bytes."""
    write_catalogue(server, folder, [*served, *SMALL])
    bring(folder)
    write_folder(folder / "kaggle-tables", folder / "kaggle-images", kaggle, "kaggle")
    found = []
    for tables, base in (
        (folder / "tables", folder / "images"),
        (folder / "kaggle-tables", kaggle),
    ):
        manifest = pd.read_csv(tables / MANIFEST, keep_default_na=False)
        fill_cache(
            manifest,
            base,
            folder / "cache",
            size,
            folder / "scratch",
            partial(run_local, workers=1),
        )
        found.append([(folder / "cache" / name).read_bytes() for name in (ARRAY, INDEX)])
    return found


def test_kaggles_copy_and_the_download_give_the_same_cache(server, tmp_path):
    kaggle = tmp_path / "kaggle"
    for n, pngs in enumerate(HALVES.values(), 1):
        write_loose(kaggle / f"images_{n:03d}" / "images", pngs)
    (kaggle / "Data_Entry_2017.csv").write_text(TABLE)
    first, second = same_cache_from_both(HALVES, kaggle, tmp_path, server, 12)
    assert first == second


def test_real_pictures_too_give_the_same_cache_from_both(nih, tmp_path):
    paths = sorted((nih / "images").glob("*.png"))[:40:5]
    pngs = {path.name: path.read_bytes() for path in paths}
    table = "header\n" + "".join(
        f"{name},Mass,0,{n},58,F,PA,1024,1024,0.1,0.1\n" for n, name in enumerate(pngs)
    )
    kaggle = tmp_path / "kaggle"
    write_loose(kaggle / "images_007" / "images", pngs)
    (kaggle / IMAGE_TABLE).write_text(table)
    write_archive(tmp_path / "images_007.tar.gz", dict(reversed(pngs.items())))
    files = {"images_007.tar.gz": (tmp_path / "images_007.tar.gz").read_bytes(), **SMALL}
    with FaultyServer(files | {IMAGE_TABLE: table.encode()}) as server:
        first, second = same_cache_from_both(["images_007.tar.gz"], kaggle, tmp_path, server, 224)
    assert first == second


# --- the stage as a process ---


def start_stage(folder, *options, source="nih"):
    """Start `python -m stages.download` in a project of its own."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"] |= {"source": source, "connections": 2}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    environment = {name: value for name, value in os.environ.items() if name != "DVC_ROOT"}
    return subprocess.Popen(
        [sys.executable, "-m", "stages.download", *options],
        cwd=folder, env=environment | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_killed_download_goes_on_from_the_byte_reached(tmp_path):
    name = "images_001.tar.gz"
    write_archive(tmp_path / "served.tar.gz", PNGS | {"padding.txt": os.urandom(3_000_000)})
    content = (tmp_path / "served.tar.gz").read_bytes()
    with FaultyServer(SMALL | {name: content}) as server:
        write_catalogue(server, tmp_path)
        server.always[name] = Fault(pause=0.02)  # four seconds for the whole
        part = tmp_path / ".scratch" / "download" / "catalogue" / f"{name}.part"
        stage = start_stage(tmp_path, "--catalogue", "catalogue.json")
        deadline = time.monotonic() + 120
        while not (part.exists() and part.stat().st_size > 1_000_000):
            assert stage.poll() is None, stage.communicate()
            assert time.monotonic() < deadline, "no byte came"
            time.sleep(0.01)
        stage.send_signal(signal.SIGKILL)
        stage.communicate()
        reached = part.stat().st_size
        assert stage.returncode == -signal.SIGKILL
        assert 1_000_000 < reached < len(content)
        assert part.read_bytes() == content[:reached]

        server.always.clear()
        stage = start_stage(tmp_path, "--catalogue", "catalogue.json")
        out, err = stage.communicate(timeout=120)
        assert stage.returncode == 0, err
        assert server.ranges(name) == [None, f"bytes={reached}-"]
        for small in SMALL:
            assert server.ranges(small) == [None], "what was right is not fetched again"
    assert (tmp_path / "data" / "raw" / "images" / name).read_bytes() == content
    assert "images: 6, images in no table: 0, rows without image: 0" in out
    assert not part.exists()


def test_the_stage_ends_in_one_sentence_when_a_file_cannot_be_had(server, tmp_path):
    server.always[LISTS[0]] = Fault(status=403)
    stage = start_stage(tmp_path, "--catalogue", "catalogue.json")
    _, err = stage.communicate(timeout=120)
    assert stage.returncode == 1
    assert err.startswith(f"error: {LISTS[0]}: {server.base}/{LISTS[0]} answers HTTP 403 Forbidden")
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1


def test_a_catalogue_for_another_source_is_refused(tmp_path):
    stage = start_stage(tmp_path, "--catalogue", "catalogue.json", source="phantom")
    _, err = stage.communicate(timeout=120)
    assert err == "error: --catalogue is for data.source nih, and it is phantom\n"


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
