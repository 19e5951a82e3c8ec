"""Files that cannot be written: one sentence, the old file stays, and nothing half-written."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from cxr14.errors import UserError
from cxr14.io import replacing, write_bytes, write_csv, write_json, write_npy, write_parquet
from tests.disks import fill, make_read_only, small_disk

NOISE = np.random.default_rng(0).random((400, 400))


def save_torch(path):
    with replacing(path) as temporary:
        torch.save({"weights": torch.from_numpy(NOISE)}, temporary)


def save_picture(path):
    figure, axes = plt.subplots()
    axes.imshow(NOISE)
    try:
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=400)
    finally:
        plt.close(figure)


WRITERS = {
    "bytes": ("a.bin", lambda path: write_bytes(path, NOISE.tobytes())),
    "json": ("a.json", lambda path: write_json(path, NOISE.tolist())),
    "csv": ("a.csv", lambda path: write_csv(path, pd.DataFrame(NOISE))),
    "parquet": ("a.parquet", lambda path: write_parquet(path, pd.DataFrame(NOISE).add_prefix("c"))),
    "npy": ("a.npy", lambda path: write_npy(path, NOISE)),
    "torch": ("a.pt", save_torch),
    "picture": ("a.png", save_picture),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_one_sentence_that_names_the_file_system(tmp_path, kind):
    name, write = WRITERS[kind]
    with small_disk(tmp_path / "disk", "1m") as disk:
        (disk / name).write_text("old")
        (disk / "other").write_bytes(bytes(960 * 1024))  # room for a little, as in a real run
        with pytest.raises(UserError, match=f"the file system {disk} is full; free some space"):
            write(disk / name)
        assert (disk / name).read_text() == "old"
        assert sorted(path.name for path in disk.iterdir()) == [name, "other"]


def test_a_disk_with_no_byte_left_is_the_same_sentence(tmp_path):
    with small_disk(tmp_path / "disk", "1m") as disk:
        fill(disk)
        with pytest.raises(UserError, match="is full; free some space"):
            write_json(disk / "new" / "a.json", {"x": "y" * 5000})


def test_a_disk_without_room_for_another_file_is_full_too(tmp_path):
    """Of a tmpfs with few inodes the bytes are free."""
    with small_disk(tmp_path / "disk", "1m,nr_inodes=2") as disk:
        (disk / "a").write_text("the last one")
        with pytest.raises(UserError, match=f"the file system {disk} is full"):
            write_json(disk / "b.json", {})


def test_a_read_only_file_system_is_named_with_what_to_do(tmp_path):
    with small_disk(tmp_path / "disk", "1m") as disk:
        (disk / "a.json").write_text("old")
        make_read_only(disk)
        with pytest.raises(UserError, match=r"a\.json cannot be written: Read-only file system"):
            write_json(disk / "a.json", {})
        assert (disk / "a.json").read_text() == "old"


@pytest.mark.parametrize(
    ("blocked", "path", "reason"),
    [
        ("a.json/inside", "a.json", "move the folder of this name away"),
        ("a", "a/b.json", "move the file in place of its folder away"),
        ("a", "a/b/c.json", "move the file in place of its folder away"),
        (None, "x" * 300 + ".json", "File name too long"),
        (None, "x" * 300 + "/a.json", "File name too long"),
    ],
)
def test_a_path_that_cannot_be_a_file_is_one_sentence(tmp_path, blocked, path, reason):
    if blocked is not None:
        (tmp_path / blocked).parent.mkdir(exist_ok=True)
        (tmp_path / blocked).write_text("in the way")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=reason):
        write_json(tmp_path / path, {})
    assert sorted(tmp_path.rglob("*")) == before


def test_an_error_of_a_file_that_is_read_meanwhile_is_not_one_of_writing(tmp_path):
    def copy():
        with replacing(tmp_path / "b") as temporary:
            temporary.write_bytes((tmp_path / "a").read_bytes())

    with pytest.raises(FileNotFoundError, match="No such file"):
        copy()


def test_a_connection_that_breaks_is_not_an_error_of_writing(tmp_path):
    def fetch():
        with replacing(tmp_path / "b"):
            raise ConnectionResetError(104, "Connection reset by peer")

    with pytest.raises(ConnectionResetError):
        fetch()
