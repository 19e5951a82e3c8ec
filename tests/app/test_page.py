"""The page of the app, without a browser."""

import base64
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr14.labels import CLASSES
from tests.app.radiographs import SIDE, bomb, file_of, pixels_of
from tests.datasets.dicoms import SECRETS, dicom
from tests.datasets.pictures import encode

testing = pytest.importorskip("streamlit.testing.v1")

PAGE = Path(__file__).resolve().parents[2] / "src/cxr14/app/page.py"
ALL = "ensemble of all backbones"


@pytest.fixture
def page(project: Path, monkeypatch: pytest.MonkeyPatch):
    """The page as a user opens it."""
    monkeypatch.chdir(project)
    return testing.AppTest.from_file(PAGE, default_timeout=60).run()


def upload(page, content: bytes, name: str = "film.png"):
    """The page after a file has been dropped on it."""
    page.segmented_control(key="kind").set_value("A file").run()
    page.file_uploader[0].upload(name, content, "image/png").run()
    assert not page.exception
    return page


def texts(page) -> str:
    """All text of the page."""
    kinds = (page.markdown, page.warning, page.error, page.info, page.caption)
    return "\n".join(element.value for kind in kinds for element in kind)


def picture(page) -> str:
    """The drawing of the radiograph, as HTML; empty if there is none."""
    return "".join(e.proto.body for e in page.get("html") if "<img" in e.proto.body)


def table(page) -> pd.DataFrame:
    return page.dataframe[0].value.set_index("finding")


def test_the_page_opens_with_a_test_image_its_findings_and_its_ground_truth(page) -> None:
    assert not page.exception
    assert "Not a medical device" in page.warning[0].value
    assert "trained on phantom radiographs: says nothing" in page.warning[0].value
    assert "11.png, test · label: Mass" in texts(page)
    assert "ground-truth box" in picture(page)
    rows = table(page)
    assert list(rows.index) == list(CLASSES)
    assert rows.drop("Hernia")["probability"].between(0, 1).all()
    assert rows.at["Hernia", "decision"] == "no threshold"
    assert page.selectbox(key="finding 11.png").value == "Mass"


def test_scores_of_a_test_image_are_those_of_the_pipeline(page, project: Path) -> None:
    predicted = pd.read_parquet(project / "predictions/alexnet.parquet").set_index("image")
    expected = predicted.loc["11.png", [f"probability {name}" for name in CLASSES]]
    np.testing.assert_allclose(table(page)["uncalibrated"], expected.astype(float), atol=1e-4)


def test_test_images_are_listed_by_finding_those_with_boxes_first(page) -> None:
    page.selectbox(key="with").set_value("Mass").run()
    listed = page.selectbox(key="image with Mass")
    assert listed.options == [f"{n}.png" for n in (11, 15, 19, 23, 27, 3, 31, 35, 39, 7)]
    listed.set_value("23.png").run()
    assert "23.png, test" in texts(page)


def test_another_finding_method_threshold_or_opacity_changes_the_picture(page) -> None:
    seen = {picture(page)}
    page.selectbox(key="finding 11.png").set_value("Edema").run()
    assert "heatmap of Edema" in picture(page)
    assert "ground-truth box" not in picture(page)
    seen.add(picture(page))
    methods = page.selectbox(key="method")
    assert methods.options == ["gradcam", "gradcam_pp", "layercam", "hirescam"]  # cam: last layer
    methods.set_value("layercam").run()
    seen.add(picture(page))
    page.slider(key="threshold").set_value(20).run()
    assert "heat above 20" in picture(page)
    seen.add(picture(page))
    page.slider(key="opacity").set_value(0).run()
    assert len(seen | {picture(page)}) == 5


def test_the_ensemble_of_all_backbones_has_a_spread(page) -> None:
    assert table(page)["spread"].isna().all()
    page.selectbox(key="model").set_value(ALL).run()
    assert not page.exception
    assert (table(page)["spread"] > 0).all()
    assert "the spread of 2 networks" in texts(page)
    assert "<img" in picture(page)


def test_a_file_is_scored_as_the_same_image_of_the_split_and_known_by_its_hash(page) -> None:
    expected = table(page)
    upload(page, file_of(11), "some name.png")
    pd.testing.assert_frame_equal(table(page), expected)
    assert "11.png, test · label: Mass" in texts(page)
    assert "ground-truth box" in picture(page)


def test_a_dicom_is_scored_and_its_identifiers_are_not_on_the_page(page, caplog) -> None:
    upload(page, file_of(100))
    expected = table(page)
    upload(page, dicom(pixels_of(100)), "Quixote^Alonso.dcm")
    pd.testing.assert_frame_equal(table(page), expected)
    assert "a DICOM file" in texts(page)
    everything = texts(page) + picture(page) + caplog.text
    assert not [word for word in SECRETS if word in everything]


def test_a_wide_file_is_padded_and_its_boxes_stay_inside(page) -> None:
    wide = np.hstack([pixels_of(7), pixels_of(8)])
    upload(page, encode(Image.fromarray(wide)))
    assert "128×64 pixels · not square; black margins were added" in texts(page)
    (drawing,) = re.findall(r"svg\+xml;base64,([^\"]+)", picture(page))
    boxes = re.findall(
        r'<rect x="(.+?)" y="(.+?)" width="(.+?)" height="(.+?)"',
        base64.b64decode(drawing).decode(),
    )
    assert boxes
    x, y, width, height = np.array(boxes, float).T
    assert min(x.min(), y.min()) >= 0
    assert max((x + width).max(), (y + height).max()) <= SIDE


def test_a_refusal_has_its_reason_and_can_be_overridden(page) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    upload(page, encode(Image.fromarray(photo)))
    assert "Refused: " in page.error[0].value
    assert "colour" in page.error[0].value
    assert not page.dataframe
    page.toggle[0].set_value(True).run()
    assert len(table(page)) == len(CLASSES)
    assert "Refused: " in page.error[0].value
    assert "Not a medical device" in page.warning[0].value


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: b"no picture", "neither PNG, JPEG nor DICOM"),
        (lambda: file_of(1)[:300], "not a readable image"),
        (bomb, "claims 20000×20000 pixels; at most 33554432 are decoded"),
    ],
)
def test_a_file_that_cannot_be_used_gets_one_sentence(
    page, content: Callable[[], bytes], said: str
) -> None:
    upload(page, content())
    (error,) = page.error
    assert error.value.startswith("This file cannot be used: ")
    assert said in error.value
    assert "film" not in error.value
    upload(page, file_of(3))  # another one is taken
    assert not page.error


def test_without_a_trained_network_the_page_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = testing.AppTest.from_file(PAGE, default_timeout=60).run()
    assert not page.exception
    assert page.error[0].value.startswith("no network is trained and evaluated; run `dvc repro")
    assert "Not a medical device" in page.warning[0].value


def test_the_requested_model_is_chosen_first(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("CXR14_APP_MODEL", "models/googlenet")
    page = testing.AppTest.from_file(PAGE, default_timeout=60).run()
    assert page.selectbox(key="model").options == ["googlenet", "alexnet", ALL]
    monkeypatch.setenv("CXR14_APP_MODEL", "models/vgg16")
    page = testing.AppTest.from_file(PAGE, default_timeout=60).run()
    assert "no trained model" in page.error[0].value


def test_boxes_of_an_uploaded_image_are_in_pixels_of_the_model(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cxr14.app.radiographs import of_file

    monkeypatch.chdir(project)
    page_sized, smaller = (of_file(file_of(11), "a.png", size).truth for size in (SIDE, SIDE // 2))
    assert page_sized is not None
    assert smaller is not None
    np.testing.assert_allclose(smaller.boxes["Mass"], page_sized.boxes["Mass"] / 2)


def test_a_file_that_raises_an_unexpected_error_is_dropped_too(
    page, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    dropped = []
    monkeypatch.setattr("cxr14.app.view.of_file", fail)
    monkeypatch.setattr("cxr14.app.view.drop", dropped.append)
    page.segmented_control(key="kind").set_value("A file").run()
    page.file_uploader[0].upload("film.png", file_of(1), "image/png").run()
    assert len(dropped) == 1
