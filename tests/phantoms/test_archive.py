"""The phantoms as an archive in the layout of NIH."""

import hashlib
import io
import os
import signal
import tarfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from cxr14.labels import FINDINGS
from cxr14.masks import decode_mask
from cxr14.numerics import DISABLED
from cxr14.phantoms.anatomy import Anatomy
from cxr14.phantoms.render import RenderSettings, encode_png, render, render_archive

NAMES = ["00000007_002.png", "00000007_000.png", "00000003_000.png"]


@pytest.fixture
def records() -> pd.DataFrame:
    table = pd.DataFrame({"image": NAMES, "patient": [7, 7, 3], "follow_up": [2, 0, 0]})
    table = table.assign(age=[60, 59, 33], sex=["F", "F", "M"], view=["AP", "PA", "PA"])
    return table.assign(**{finding: np.uint8(finding == "Mass") for finding in FINDINGS})


@pytest.fixture
def environment_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take back what an import of `stages` by another test set after NumPy was loaded here.

    Workers would load it, and have NumPy compute with other instructions than this process.
    """
    for name in (DISABLED, "OPENBLAS_CORETYPE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("environment_at_start")
def test_the_tar_has_the_layout_of_nih_and_its_bytes_do_not_depend_on_the_workers(
    anatomy: Anatomy, render_settings: RenderSettings, records: pd.DataFrame, tmp_path: Path
):
    listings = [
        render_archive(records, tmp_path / f"{workers}.tar", render_settings, workers, anatomy)
        for workers in (1, 2)
    ]
    contents = [(tmp_path / f"{workers}.tar").read_bytes() for workers in (1, 2)]
    assert contents[0] == contents[1]
    pd.testing.assert_frame_equal(listings[0].images, listings[1].images)
    pd.testing.assert_frame_equal(listings[0].boxes, listings[1].boxes)
    with tarfile.open(fileobj=io.BytesIO(contents[0])) as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == [f"images/{name}" for name in sorted(NAMES)]
        assert {(member.mtime, member.uid, member.gid) for member in members} == {(0, 0, 0)}
        for member, line in zip(members, listings[0].images.itertuples(), strict=True):
            handle = tar.extractfile(member)
            assert handle is not None
            content = handle.read()
            assert line.member == member.name
            assert line.bytes == member.size == len(content)
            assert line.sha256 == hashlib.sha256(content).hexdigest()
    wanted = render(records.to_dict("records")[0], anatomy, render_settings)  # type: ignore[arg-type]
    assert (np.asarray(Image.open(io.BytesIO(content))) == wanted.pixels).all()


def test_boxes_and_masks_are_those_of_the_phantoms(
    anatomy: Anatomy, render_settings: RenderSettings, records: pd.DataFrame, tmp_path: Path
):
    listings = render_archive(records, tmp_path / "x.tar", render_settings, 1, anatomy)
    for record in records.to_dict("records"):
        phantom = render(record, anatomy, render_settings)  # type: ignore[arg-type]
        boxes = listings.boxes[listings.boxes.image == record["image"]]
        assert list(boxes.drop(columns="image").itertuples(index=False, name=None)) == phantom.boxes
        masks = listings.masks[listings.masks.image == record["image"]]
        assert masks.finding.tolist() == ["Mass"]
        assert (decode_mask(masks.runs.iloc[0]) == phantom.masks["Mass"]).all()


def test_workers_do_not_outlive_a_stage_that_is_killed(
    anatomy: Anatomy, render_settings: RenderSettings, records: pd.DataFrame, tmp_path: Path
):
    """They went on for good below process 1, with a tenth of the memory each."""
    many = pd.concat([records.assign(image=f"{n:08}_" + records.image) for n in range(400)])
    arguments = (many, tmp_path / "killed.tar", render_settings, 2, anatomy)
    stage = get_context("spawn").Process(target=render_archive, args=arguments)
    stage.start()
    deadline = time.monotonic() + 60
    while len(workers := psutil.Process(stage.pid).children()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1)  # until they draw
    os.kill(stage.pid, signal.SIGKILL)
    stage.join()
    assert psutil.wait_procs(workers, timeout=20)[1] == []


def test_a_failed_drawing_leaves_no_archive(
    anatomy: Anatomy, render_settings: RenderSettings, records: pd.DataFrame, tmp_path: Path
):
    with pytest.raises(KeyError):
        render_archive(records.drop(columns="sex"), tmp_path / "x.tar", render_settings, 1, anatomy)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_a_png_reads_back_as_it_was(picture: np.ndarray):
    assert (np.asarray(Image.open(io.BytesIO(encode_png(picture)))) == picture).all()
