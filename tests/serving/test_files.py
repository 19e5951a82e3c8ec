"""Files of a user: what is read, what fails with which reason, and that no patient shows."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr14.serving.files import AHEAD, Failure, Input, decode_input, faults_of, read_files
from tests.datasets.dicoms import SECRETS, dicom

SIZE = 64
PIXELS = np.random.default_rng(3).integers(0, 256, (80, 100), np.uint8)


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    """Pixels as the bytes of a file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


PNG = encoded(PIXELS)


def read(*arguments: Path | str) -> tuple[list[str], dict[str, str]]:
    """Names of the images, and the reason of each failure by its name."""
    files = [*read_files([*map(str, arguments)], SIZE)]
    failures = {item.name: item.reason for item in files if isinstance(item, Failure)}
    return [item.name for item in files if isinstance(item, Input)], failures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of one image of each format, an archive of each kind, and other files."""
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/b.jpg").write_bytes(encoded(PIXELS, "JPEG"))
    (tmp_path / "deep/c.dcm").write_bytes(dicom(PIXELS))
    with tarfile.open(tmp_path / "d.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("images/d.png")
        member.size = len(PNG)
        archive.addfile(member, io.BytesIO(PNG))
    with zipfile.ZipFile(tmp_path / "e.zip", "w") as packed:
        packed.writestr("e.png", PNG)
        packed.writestr("readme.txt", "no image")
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_a_folder_is_read_with_its_folders_and_archives(folder: Path) -> None:
    names, failures = read(folder)
    expected = ["d.tar.gz/images/d.png", "e.zip/e.png", "a.png", "deep/b.jpg", "deep/c.dcm"]
    assert names == [f"{folder}/{name}" for name in expected]
    assert failures == {}


def test_files_archives_and_patterns_are_read_in_their_order(folder: Path) -> None:
    names, failures = read(folder / "e.zip", folder / "a.png", folder / "deep/*.[jd]*")
    assert [Path(name).name for name in names] == ["e.png", "a.png", "b.jpg", "c.dcm"]
    assert failures == {}


def test_an_image_is_read_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PNG)))
    assert read("-") == (["stdin"], {})


def test_the_pixels_are_those_of_the_cache() -> None:
    from cxr14.preprocessing.decode import shrink

    decoded = decode_input(PNG, SIZE, "a.png")
    assert isinstance(decoded, Input)
    np.testing.assert_array_equal(decoded.shrunk.pixels, shrink(PNG, SIZE, "a.png").pixels)


def test_a_file_that_cannot_be_read_stops_no_other(folder: Path) -> None:
    (folder / "broken.png").write_bytes(PNG[:-40])
    (folder / "broken.tar").write_bytes(b"x" * 600)
    names, failures = read(folder / "nothing.png", folder)
    assert len(names) == 5
    reasons = {Path(name).name: reason for name, reason in failures.items()}
    assert reasons.pop("broken.tar").startswith("not an archive: ")
    assert reasons == {
        "nothing.png": "no such file or folder, and no file fits it as a pattern",
        "broken.png": "not a readable image (the PNG breaks off in its IDAT chunk)",
    }


def test_a_folder_or_an_archive_without_images_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as packed:
        packed.writestr("readme.txt", "no image")
    names, failures = read(tmp_path / "empty", tmp_path / "text.zip")
    assert names == []
    assert all("holds no PNG, JPEG or DICOM file" in reason for reason in failures.values())
    assert len(failures) == 2


def test_a_file_of_another_kind_a_pipe_and_a_large_file_are_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "large.png").write_bytes(PNG)
    monkeypatch.setattr("cxr14.serving.files.IMAGE_BYTES", 1000)
    monkeypatch.setattr("cxr14.datasets.archive_kinds.IMAGE_BYTES", 1000)
    _, failures = read(*(tmp_path / name for name in ("notes.txt", "pipe.png", "large.png")))
    reasons = [reason.partition(";")[0] for reason in failures.values()]
    assert reasons == [
        "not a readable image (neither PNG, JPEG nor DICOM)",
        "no regular file",
        "over 1000 bytes",
    ]


def test_more_files_than_are_decoded_ahead_keep_their_order(tmp_path: Path) -> None:
    count = 2 * AHEAD + 3
    for number in range(count):
        (tmp_path / f"{number:03d}.png").write_bytes(PNG)
    names, _ = read(tmp_path)
    assert [Path(name).stem for name in names] == [f"{number:03d}" for number in range(count)]


@pytest.mark.parametrize(
    ("elements", "faults"),
    [
        ({}, []),
        ({"ViewPosition": "PA", "BodyPartExamined": "CHEST"}, []),
        ({"ViewPosition": "LL"}, ["a lateral view by its DICOM header (LL); allowed: PA and AP"]),
        ({"BodyPartExamined": "HAND"}, ["of body part HAND by its DICOM header; allowed: CHEST"]),
        ({"ViewPosition": "QUIXOTE", "BodyPartExamined": "ALONSO"}, []),
    ],
)
def test_the_header_of_a_dicom_says_the_view_and_the_part(
    elements: dict[str, str], faults: list[str]
) -> None:
    decoded = decode_input(dicom(PIXELS, **elements), SIZE, "a.dcm")
    assert isinstance(decoded, Input)
    assert list(decoded.faults) == faults


def test_a_ct_slice_is_a_failure() -> None:
    decoded = decode_input(dicom(PIXELS, Modality="CT"), SIZE, "a.dcm")
    assert decoded == Failure("a.dcm", "a DICOM of modality CT; allowed: CR, DX, RG, or none")


def test_nothing_that_identifies_a_patient_is_in_what_is_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sound = dicom(PIXELS, ViewPosition="LL")
    for number in range(12):  # in several threads
        content = sound.replace(b"19170317", b"1917031x")[: -1000 * number or None]
        (tmp_path / f"{number}.dcm").write_bytes(content)
    found = str([*read_files([str(tmp_path)], SIZE)])
    out, err = capfd.readouterr()
    assert "lateral" in found
    assert "missing" in found
    assert not [secret for secret in (*SECRETS, "1917031") if secret in found + out + err]


def colours() -> dict[str, tuple[np.ndarray, bool]]:
    """Colour images, and whether each is a photograph rather than a tinted or marked film."""
    grey = np.linspace(0, 255, 128 * 128).reshape(128, 128)
    tinted = np.stack([grey, grey * 0.9, grey * 0.6], axis=-1)
    marked = np.stack([grey] * 3, axis=-1)
    marked[3:8, 3:30] = (255, 220, 0)
    photograph = np.random.default_rng(1).integers(0, 256, (8, 8, 3)).repeat(16, 0).repeat(16, 1)
    return {"tinted": (tinted, False), "marked": (marked, False), "photo": (photograph, True)}


@pytest.mark.parametrize("name", colours())
def test_a_photograph_is_a_fault_and_a_tinted_or_marked_film_is_none(name: str) -> None:
    pixels, photograph = colours()[name]
    content = encoded(pixels.astype(np.uint8))
    decoded = decode_input(content, SIZE, "a.png")
    assert isinstance(decoded, Input)
    assert "colour" in decoded.shrunk.remarks
    assert bool(faults_of(content, decoded.shrunk)) == photograph


def test_a_damaged_element_of_a_dicom_stops_nothing_and_shows_no_value() -> None:
    element = b"\x18\x00\x01\x51CS"  # (0018,5101) View Position
    sound = dicom(PIXELS, ViewPosition="DOE JOHN1954", BodyPartExamined="HAND")
    content = sound.replace(element, element.replace(b"CS", b"FD"))  # 12 bytes are no doubles
    assert content != sound
    decoded = decode_input(content, SIZE, "a.dcm")
    assert isinstance(decoded, Input)
    assert decoded.faults == ("of body part HAND by its DICOM header; allowed: CHEST",)


@pytest.mark.parametrize(
    ("shape", "fault"),
    [
        ((40, 40), "tiny: 40×40 pixels; a side has at least 64"),
        ((240, 90), "90×240 pixels: a side is 2.7 times the other"),
    ],
)
def test_the_size_of_a_file_is_a_fault(shape: tuple[int, int], fault: str) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, shape, np.uint8)
    decoded = decode_input(encoded(pixels), SIZE, "a.png")
    assert isinstance(decoded, Input)
    assert decoded.faults == (fault,)


def test_names_that_are_no_utf8_are_escaped_and_long_ones_keep_their_end(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 150) / ("e" * 150)
    folder.mkdir(parents=True)
    for name in (b"f\xff.png", b"g\xff.png"):
        Path(os.fsdecode(bytes(folder) + b"/" + name)).write_bytes(PNG)
    names, failures = read(
        os.fsdecode(bytes(folder) + b"/f\xff.png"), folder, tmp_path / "no\udcff"
    )
    assert [Path(name).name for name in names] == [r"f\udcff.png"]
    assert [Path(name).name for name in failures][-1] == r"no\udcff"
    assert all(name.isprintable() for name in (*names, *failures, *failures.values()))
