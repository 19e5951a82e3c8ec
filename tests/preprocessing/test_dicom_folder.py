"""A folder of DICOMs through the stages: the same cache as from PNGs, and nothing of a patient."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from cxr14.datasets.issues import ISSUES, read_issues
from cxr14.datasets.manifest import list_images
from cxr14.datasets.raw import IMAGE_TABLE
from cxr14.errors import UserError
from cxr14.preprocessing.cache import open_cache
from stages import download, patient_split, preprocess
from tests.conftest import ROOT
from tests.datasets.dicoms import IDENTIFIERS, LOSSLESS, SECRETS, dicom, dicom_of_png
from tests.datasets.pictures import encode, noise, some_pngs, write_archive, write_loose
from tests.datasets.tables.written import HEADER, image_row, write
from tests.engines import in_process


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Run three stages in a new folder on images in one of its own."""

    def run(name: str, images: dict[str, bytes], on_error: str = "fail") -> Path:
        folder = tmp_path / name
        write_loose(folder / "own" / "images", images)
        stems = sorted({Path(image).stem for image in images})
        rows = [image_row(f"{stem}.png", patient=int(stem[:8])) for stem in stems]
        write(folder / "own" / IMAGE_TABLE, HEADER, rows)
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params["data"] |= {"source": "folder", "folder": "own"}
        params["preprocess"] |= {"workers": 1, "on_error": on_error}
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        (folder / "chexnext").mkdir()
        (folder / "chexnext" / "params.yaml").write_bytes(
            (ROOT / "chexnext" / "params.yaml").read_bytes()
        )
        monkeypatch.chdir(folder)
        download.main()
        patient_split.main()
        preprocess.main()
        return folder

    monkeypatch.delenv("DVC_ROOT", raising=False)
    # In this process, so that its log is captured too.
    monkeypatch.setattr(preprocess, "choose_engine", lambda *_: in_process)
    return run


def dicoms_of(pngs: dict[str, bytes]) -> dict[str, bytes]:
    """The images in all lossless transfer syntaxes in turn, with their spacing."""
    syntaxes = ["", *LOSSLESS]
    return {
        name.replace(".png", ".dcm"): dicom_of_png(
            content, syntaxes[n % len(syntaxes)], ImagerPixelSpacing=[0.2, 0.1]
        )
        for n, (name, content) in enumerate(pngs.items())
    }


def written(folder: Path) -> str:
    """All that the stages wrote, as text."""
    parts = []
    for path in folder.rglob("*"):
        if path.is_file() and "own" not in path.relative_to(folder).parts:
            parts.append(str(path) + path.read_bytes().decode("latin-1"))
            if path.suffix == ".parquet":
                parts.append(pd.read_parquet(path).to_csv())
    return "\n".join(parts)


def same_cache(project, pngs: dict[str, bytes]) -> None:
    first, second = project("png", pngs), project("dicom", dicoms_of(pngs))
    for name in (
        "data/cache/images.npy",
        "data/records/images.parquet",
        "data/split/split.parquet",
    ):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    plain, index = (open_cache(folder / "data" / "cache")[1] for folder in (first, second))
    spacing = index[["pixel_spacing_x", "pixel_spacing_y"]]
    assert np.ptp(spacing.to_numpy(), axis=0).tolist() == [0, 0]
    assert spacing.iloc[0].tolist() == [0.1, 0.2]
    left = index.drop(columns=[*spacing, "sha256"])
    pd.testing.assert_frame_equal(left, plain.drop(columns="sha256"))


def test_dicoms_give_the_cache_the_records_and_the_split_of_their_pngs(project):
    same_cache(project, some_pngs(12))


def test_real_images_as_dicoms_give_the_cache_of_their_pngs(project, nih):
    paths = sorted((nih / "images").glob("*.png"))[::53]
    same_cache(project, {path.name: path.read_bytes() for path in paths})


@pytest.mark.filterwarnings("ignore:Invalid value")  # when the file is made
def test_nothing_that_identifies_a_patient_is_written_or_printed(project, capfd, caplog):
    pngs = some_pngs(10)
    images = dicoms_of(pngs) | {
        "00000011_000.dcm": dicom(np.zeros((40, 40), np.uint8), Modality="CT"),
        "00000012_000.dcm": dicom(np.zeros((40, 40), np.uint8))[:-100],
        "00000013_000.dcm": dicom(np.zeros((40, 40), np.uint8), Modality="Quixote"),
        "00000014_000.dcm": dicom(np.zeros((40, 40), np.uint8), WindowCenter=1, WindowWidth=1),
    }
    assert all(
        value.encode() in content for content in images.values() for value in IDENTIFIERS.values()
    )
    caplog.clear()
    caplog.set_level("DEBUG")
    folder = project("dicom", images, on_error="skip")
    skipped = read_issues(folder / ISSUES).query("stage == 'preprocess' and action == 'skipped'")
    assert skipped.issue.tolist() == ["unsupported DICOM", "damaged", "unsupported DICOM"]
    output = capfd.readouterr()
    everything = "\n".join([written(folder), output.out, output.err, caplog.text])
    assert "00000012_000.dcm" in everything
    assert not [secret for secret in SECRETS if secret in everything]


def test_an_error_that_stops_the_run_has_nothing_of_the_patient(project, capfd):
    cut = dicom(np.zeros((40, 40), np.uint8))[:-100]
    with pytest.raises(UserError, match=r"00000009_000\.dcm: not a readable image") as raised:
        project("dicom", dicoms_of(some_pngs(8)) | {"00000009_000.dcm": cut})
    output = "\n".join([str(raised.value), *capfd.readouterr()])
    assert not [secret for secret in SECRETS if secret in output]


@pytest.mark.parametrize("container", ["images_001.zip", "images_001.tar.gz", ""])
def test_dicoms_stand_for_the_images_of_the_table_and_are_listed_so(tmp_path, container):
    images = dicoms_of(some_pngs(3))
    if container:
        write_archive(tmp_path / container, images)
    else:
        write_loose(tmp_path / "images", images)
    listing = list_images(tmp_path)
    assert listing.manifest.image.tolist() == sorted(some_pngs(3))
    assert listing.counts()["images_of_other_extension"] == 3
    assert listing.issues.detail.tolist() == [f"listed as {name}" for name in some_pngs(3)]


def test_an_image_as_png_and_as_dicom_in_one_folder_is_refused(tmp_path):
    png = encode(noise(1))
    write_loose(tmp_path, {"a.png": png, "a.dcm": dicom_of_png(png)})
    with pytest.raises(UserError, match=r"contents that differ, first a\.png: a\.dcm and a\.png"):
        list_images(tmp_path)
