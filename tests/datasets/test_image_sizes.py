"""Sizes of images by the headers of their files, in a folder or an archive."""

import io
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr14.datasets.image_sources import file_sizes
from cxr14.preprocessing.decode import decode
from tests.datasets.dicoms import compressed, dicom, dicom_of_png


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
    "f.dcm": dicom_of_png(picture(30, 20)),
    "g.dicom": compressed(dicom_of_png(picture(31, 20)), "JPEG2000Lossless"),
    "h.dcm": dicom_of_png(picture(30, 20))[:200],
    "i.dcm": dicom(np.zeros((0, 9), np.uint8)),
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
    sizes = file_sizes(manifest, tmp_path, [f"{letter}.png" for letter in "abcdfghiz"])
    assert sizes.sort_index().to_dict("index") == {
        "a.png": {"width": 20, "height": 10},
        "b.png": {"width": 10, "height": 20},
        "f.png": {"width": 30, "height": 20},
        "g.png": {"width": 31, "height": 20},
    }


def test_no_image_is_no_size(tmp_path):
    manifest = pd.DataFrame(columns=["image", "member", "container"], dtype="str")
    assert file_sizes(manifest, tmp_path, ["a.png"]).empty


@pytest.mark.parametrize("metadata", [b"junk", b"Exif\0\0junk", b"Exif\0\0MM\0*broken", b""])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_unreadable_metadata_leaves_the_size_as_decoding_has_it(tmp_path, metadata, kind):
    """There was no size, so the box had no place, while the image was used."""
    content = io.BytesIO()
    Image.new("L", (40, 20)).save(content, kind)
    raw = content.getvalue()
    if kind == "JPEG":
        marked = b"\xff\xe1" + (len(metadata) + 2).to_bytes(2, "big") + metadata
        raw = raw[:2] + marked + raw[2:]
    else:
        chunk = b"eXIf" + metadata
        size, crc = (number.to_bytes(4, "big") for number in (len(metadata), zlib.crc32(chunk)))
        raw = raw[:33] + size + chunk + crc + raw[33:]
    (tmp_path / "a.png").write_bytes(raw)
    manifest = pd.DataFrame({"image": ["a.png"], "member": ["a.png"], "container": ""})
    sizes = file_sizes(manifest, tmp_path, ["a.png"])
    assert sizes.loc["a.png"].tolist() == [40, 20]
    assert decode(raw, "a.png").pixels.shape == (20, 40)


def test_a_format_that_preprocess_does_not_read_has_no_size(tmp_path):
    Image.new("L", (40, 20)).save(tmp_path / "a.png", "BMP")
    manifest = pd.DataFrame({"image": ["a.png"], "member": ["a.png"], "container": ""})
    assert file_sizes(manifest, tmp_path, ["a.png"]).empty
