"""Sizes of images by the headers of their files, in a folder or an archive."""

import io
import tarfile
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from cxr14.data.image_sizes import file_sizes


def picture(width: int, height: int, orientation: int = 1, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[274] = orientation
    Image.new("L", (width, height)).save(buffer, kind, exif=exif)
    return buffer.getvalue()


FILES = {
    "a.png": picture(20, 10),
    "b.jpg": picture(20, 10, orientation=6, kind="JPEG"),
    "c.png": picture(20, 10)[:20],
    "d.png": b"no image",
    "e.png": picture(7, 8),
}


def write_files(base: Path, container: str) -> None:
    if not container:
        for name, content in FILES.items():
            (base / name).write_bytes(content)
    elif container.endswith(".zip"):
        with zipfile.ZipFile(base / container, "w") as archive:
            for name, content in FILES.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(base / container, "w:gz") as archive:
            for name, content in FILES.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize("container", ["", "images_001.zip", "images_001.tar.gz"])
def test_sizes_are_as_displayed_and_only_of_files_that_have_one(tmp_path, container):
    write_files(tmp_path, container)
    names = [f"{Path(member).stem}.png" for member in FILES]
    manifest = pd.DataFrame({"image": names, "member": list(FILES), "container": container})
    sizes = file_sizes(manifest, tmp_path, ["a.png", "b.png", "c.png", "d.png", "z.png"])
    assert sizes.sort_index().to_dict("index") == {
        "a.png": {"width": 20, "height": 10},
        "b.png": {"width": 10, "height": 20},
    }


def test_no_image_is_no_size(tmp_path):
    manifest = pd.DataFrame(columns=["image", "member", "container"], dtype="str")
    assert file_sizes(manifest, tmp_path, ["a.png"]).empty
