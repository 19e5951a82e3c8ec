"""The stage `download` as a process: killed and run again, refused, ended by an error."""

import os
import signal
import subprocess
import sys
import time

import yaml

from cxr14.datasets.raw import IMAGE_TABLE, LISTS
from tests.conftest import ROOT
from tests.datasets.download.catalogued import PNGS, SMALL, write_catalogue
from tests.datasets.download.faulty_server import Fault, FaultyServer
from tests.datasets.pictures import write_archive, write_loose


def start_stage(folder, *options, source="nih", folder_of_images=None):
    """Start `python -m stages.download` in a project of its own."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"] |= {"source": source, "connections": 2, "folder": folder_of_images}
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
    assert (tmp_path / "data" / "raw" / "archives" / name).read_bytes() == content
    assert "images: 6, images in no table: 0, rows without image: 0" in out
    assert not part.exists()


def test_the_stage_ends_in_one_sentence_when_a_file_cannot_be_had(nih_server, tmp_path):
    nih_server.always[LISTS[0]] = Fault(status=403)
    stage = start_stage(tmp_path, "--catalogue", "catalogue.json")
    _, err = stage.communicate(timeout=120)
    assert stage.returncode == 1
    assert err.startswith(f"error: {LISTS[0]}: {nih_server.base}/{LISTS[0]}: HTTP 403 Forbidden")
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1


def test_a_catalogue_for_another_source_is_refused(tmp_path):
    stage = start_stage(tmp_path, "--catalogue", "catalogue.json", source="phantom")
    _, err = stage.communicate(timeout=120)
    assert err == "error: --catalogue is for data.source nih, and it is phantom\n"


def test_the_check_lets_a_run_start_that_follows_one_which_ended_at_a_bad_table(tmp_path):
    """`make repro` stopped at our own half-written source.json."""
    write_loose(tmp_path / "mine", PNGS)
    (tmp_path / "mine" / IMAGE_TABLE).write_bytes(SMALL[IMAGE_TABLE].replace(b",F,", b",X,"))
    stage = start_stage(tmp_path, source="folder", folder_of_images="mine")
    _, err = stage.communicate(timeout=120)
    assert stage.returncode == 1
    assert f"mine/{IMAGE_TABLE}" in err
    (tmp_path / "mine" / IMAGE_TABLE).write_bytes(SMALL[IMAGE_TABLE])
    for options in (["--check"], [], ["--check"]):
        stage = start_stage(tmp_path, *options, source="folder", folder_of_images="mine")
        _, err = stage.communicate(timeout=120)
        assert (stage.returncode, err) == (0, "")
    (tmp_path / "mine" / "new.png").write_bytes(b"x")
    stage = start_stage(tmp_path, "--check", source="folder", folder_of_images="mine")
    _, err = stage.communicate(timeout=120)
    assert "were added to" in err
