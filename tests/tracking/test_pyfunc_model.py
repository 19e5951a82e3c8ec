"""The registered model: images in, named probabilities out."""

import base64
import importlib.metadata
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from scipy.special import expit, logit

from cxr14.config.blocks import AugmentParams
from cxr14.datasets.manifest import list_images
from cxr14.datasets.records import PHANTOM_NOTE
from cxr14.evaluation.predict import predict_views
from cxr14.io import read_json, write_json
from cxr14.labels import CLASSES, FINDINGS
from cxr14.localization.cam import SaliencySettings, normalized_heatmaps
from cxr14.localization.heatmaps import detect, heat_of
from cxr14.models.network import build_network
from cxr14.models.serialization import load_model, save_model
from cxr14.preprocessing.cache import open_cache
from cxr14.preprocessing.decode import shrink
from cxr14.preprocessing.fill import fill_cache
from cxr14.preprocessing.shards import run_local
from cxr14.serving.input_check import InputCheck
from cxr14.training.augment import views
from tests.datasets.dicoms import SECRETS, dicom
from tests.datasets.pictures import encode, noise, write_loose
from tests.imports import imported_names, needed_files
from tests.tracking.conftest import PLATT
from tests.training.tiny import UNCHANGED

ROOT = Path(__file__).resolve().parents[2]
PICTURES = {
    "1.png": encode(noise(1, 100, 80)),
    "2.png": encode(noise(2, 64, 64).convert("RGBA")),
    "3.png": encode(noise(3, 66, 82)),
}
COLUMNS = [*CLASSES, "remarks", "refusals", "note"]
RAW = {"calibrated": False}
ELSEWHERE = """
import json, sys
import mlflow, numpy as np
model = mlflow.pyfunc.load_model(sys.argv[1])
images = np.load(sys.argv[2])
import cxr14
print(json.dumps({"file": cxr14.__file__, "table": model.predict(images).to_dict("list")}))
"""


@pytest.fixture
def model(registered: Path, loaded: dict[str, Any]):
    import mlflow

    if not loaded:
        loaded["model"] = mlflow.pyfunc.load_model("models:/cxr14@champion")
    return loaded["model"]


@pytest.fixture(scope="module")
def loaded() -> dict[str, Any]:
    return {}


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_any_batch_and_any_size_give_fifteen_named_probabilities(model, registered: Path) -> None:
    images = np.load(registered / "data/cache/images.npy")
    whole = model.predict(images, params=RAW)
    assert list(whole.columns) == COLUMNS
    assert whole.note.str.contains(PHANTOM_NOTE).all()
    whole = whole[list(CLASSES)]
    assert whole.shape == (len(images), 15)
    assert ((whole > 0) & (whole < 1)).to_numpy().all()
    assert (whole.std() > 0.001).all()  # it does look at the images
    one = model.predict(images[3:4], params=RAW)[list(CLASSES)]
    np.testing.assert_allclose(one.to_numpy(), whole.iloc[3:4].to_numpy(), atol=1e-5)
    assert model.predict(np.repeat(images, 3, axis=0)).shape == (120, 18)  # more than one batch
    assert model.predict(images[:0]).shape == (0, 18)
    assert model.predict(np.zeros((2, 32, 32), np.uint8)).shape == (2, 18)
    large = np.asarray(noise(5, 300, 300))[None]
    assert model.predict(large, params=RAW)[list(CLASSES)].notna().all(axis=None)


def test_probabilities_are_calibrated_by_the_scaling_of_the_decision(
    model, registered: Path
) -> None:
    images = np.load(registered / "data/cache/images.npy")[:5]
    raw = model.predict(images, params=RAW)[list(CLASSES)]
    scaled = expit(PLATT["slope"] * logit(raw) + PLATT["intercept"])
    calibrated = model.predict(images)
    assert calibrated["Hernia"].tolist() == [None] * 5  # it has no scaling; JSON has no NaN
    others = [name for name in CLASSES if name != "Hernia"]
    np.testing.assert_allclose(calibrated[others], scaled[others], atol=1e-6)


def test_files_given_as_text_are_scored_as_the_cache_that_preprocess_makes_of_them(
    model, tmp_path: Path
) -> None:
    write_loose(tmp_path / "images", PICTURES)
    side = np.load("data/cache/images.npy", mmap_mode="r").shape[1]
    engine = partial(run_local, workers=1)
    manifest = list_images(tmp_path).manifest
    fill_cache(manifest, tmp_path, tmp_path / "cache", side, tmp_path / "scratch", engine)
    images, index = open_cache(tmp_path / "cache")
    given = pd.DataFrame({"image": [text(PICTURES[name]) for name in index.image]})
    scored = model.predict(given)
    pd.testing.assert_frame_equal(
        scored.drop(columns="remarks"),
        model.predict(np.asarray(images)).drop(columns="remarks"),
    )
    assert scored.refusals.tolist() == [[], [], []]
    assert scored.remarks.tolist() == [["padded"], [], ["padded"]]
    wrapped = given.image.map(lambda one: "\n".join(re.findall(".{1,76}", one)))  # as base64(1)
    pd.testing.assert_frame_equal(model.predict(wrapped.to_frame()), model.predict(given))


def test_decisions_are_the_findings_at_or_above_the_thresholds_of_validation(
    model, registered: Path
) -> None:
    images = np.load(registered / "data/cache/images.npy")
    table = model.predict(images, params=RAW | {"decide": True})
    decided = [name for name in FINDINGS if name != "Hernia"]  # its threshold is null
    expected = [[n for n in decided if row[n] >= 0.5] for row in table.to_dict("records")]
    assert table.above_threshold.tolist() == expected
    assert 0 < sum(map(len, expected)) < len(images) * len(decided)


Odd = dict[str, tuple[bytes, list[str], str]]


def odd_files() -> Odd:
    """Files of every odd kind, their remarks, and the start of the reason that refuses them."""
    grey = noise(4, 64, 64)
    pixels = np.asarray(grey)
    turned, cmyk = io.BytesIO(), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    grey.save(turned, "PNG", exif=exif)
    Image.linear_gradient("L").resize((64, 64)).convert("CMYK").save(cmyk, "JPEG")
    twelve = encode(Image.fromarray(pixels.astype(np.uint16) << 4))
    lungs = np.full((64, 64), 60, np.uint8)
    lungs[12:48, 8:28] = lungs[12:48, 36:56] = 180
    colours = Image.merge("RGB", [noise(n, 64, 64) for n in (1, 2, 3)])
    lateral = dicom(pixels, ViewPosition="LL")
    return {
        "rotated": (turned.getvalue(), ["rotated_by_exif"], ""),
        "12 in 16 bits": (twelve, ["unused_bits", "faint"], "blank"),
        "1 bit": (encode(grey.convert("1")), ["low_bit_depth"], ""),
        "CMYK": (cmyk.getvalue(), ["jpeg", "cmyk"], ""),
        "empty": (encode(Image.new("L", (64, 64), 9)), ["faint"], "blank"),
        "inverted": (encode(Image.fromarray(lungs)), ["inverted"], "looks like a negative"),
        "padded": (encode(noise(1, 100, 80)), ["padded"], ""),
        "tiny": (encode(noise(1, 40, 40)), [], "tiny: 40×40 pixels"),
        "colour": (encode(colours), ["colour"], "a colour photograph"),
        "DICOM": (dicom(pixels), ["dicom"], ""),
        "lateral": (lateral, ["dicom"], "a lateral view by its DICOM header (LL)"),
    }


@pytest.fixture(scope="module")
def odd() -> Odd:
    return odd_files()


def test_remarks_and_refusals_of_odd_files_are_in_the_answer(model, odd: Odd) -> None:
    given = pd.DataFrame({"image": [text(content) for content, _, _ in odd.values()]})
    scored = model.predict(given, params={"decide": True, "heatmaps": ["Mass"]})
    assert scored.remarks.tolist() == [remarks for _, remarks, _ in odd.values()]
    for (_, _, reason), row in zip(odd.values(), scored.to_dict("records"), strict=True):
        assert ", ".join(row["refusals"]).startswith(reason)
        assert bool(row["refusals"]) == bool(reason)
        answers = [row[name] for name in ("Mass", "above_threshold", "heatmaps", "boxes")]
        assert [answer is None for answer in answers] == [bool(reason)] * 4
    secrets = str(scored.to_dict("list"))
    assert not [secret for secret in SECRETS if secret in secrets]


def test_a_refused_image_is_scored_on_request_and_the_reason_stays(model, odd: Odd) -> None:
    given = pd.DataFrame({"image": [text(odd["inverted"][0])]})
    (forced,) = model.predict(given, params={"force": True, "decide": True}).to_dict("records")
    assert 0 < forced["Mass"] < 1
    assert isinstance(forced["above_threshold"], list)
    assert len(forced["refusals"]) == 1


def test_an_array_that_looks_inverted_or_empty_gets_its_remark_too(model, odd: Odd) -> None:
    with Image.open(io.BytesIO(odd["inverted"][0])) as file:
        inverted = np.asarray(file)
    given = np.stack([inverted, 255 - inverted, np.zeros((64, 64), np.uint8)])
    assert model.predict(given).remarks.tolist() == [["inverted"], [], ["faint"]]


def test_heatmaps_and_boxes_are_those_of_the_pipeline_in_pixels_of_the_file(model) -> None:
    given = pd.DataFrame({"image": [text(PICTURES["1.png"]), text(PICTURES["2.png"])]})
    scored = model.predict(given, params={"heatmaps": ["Mass", "Edema"]})
    network, _ = load_model("models/alexnet")
    shrunk = shrink(PICTURES["1.png"], 64, "1.png")
    pairs = pd.DataFrame({"image": "1.png", "finding": ["Edema", "Mass"], "row": 0})
    pairs[["scale", "offset_x", "offset_y"]] = shrunk.scale, shrunk.offset_x, shrunk.offset_y
    settings = SaliencySettings("gradcam", 8, 64)
    grids = normalized_heatmaps(network, shrunk.pixels[None], pairs, settings)
    boxes = detect(pairs, grids, 64, [60, 180]).to_dict("records")
    names = ["finding", "heat_threshold", "x", "y", "width", "height", "score"]
    expected = [pytest.approx({name: box[name] for name in names}) for box in boxes]
    assert sorted(scored.boxes[0], key=str) == sorted(expected, key=lambda box: str(box.expected))
    assert [list(found) for found in scored.heatmaps] == [["Mass", "Edema"]] * 2
    with Image.open(io.BytesIO(base64.b64decode(scored.heatmaps[0]["Mass"]))) as picture:
        assert (picture.mode, picture.size) == ("L", (52, 64))  # of 80 × 100, without padding
        heat = heat_of(grids[1:], 64)[0][:, 6:58]
        np.testing.assert_allclose(np.asarray(picture), heat, atol=0.51)


def test_the_heatmap_of_a_line_has_one_pixel_across(model) -> None:
    line = Image.fromarray(np.asarray(noise(6, 4000, 32)))
    given = pd.DataFrame({"image": [text(encode(line))]})
    scored = model.predict(given, params={"heatmaps": ["Mass"], "force": True})
    with Image.open(io.BytesIO(base64.b64decode(scored.heatmaps[0]["Mass"]))) as picture:
        assert picture.size == (1, 64)


def test_heatmaps_of_what_is_called(model, registered: Path) -> None:
    images = np.load(registered / "data/cache/images.npy")[:3]
    scored = model.predict(images, params={"decide": True, "heatmaps": ["called"]})
    for row in scored.to_dict("records"):
        assert list(row["heatmaps"]) == [
            name for name in row["above_threshold"] if name in FINDINGS
        ]
    assert sum(map(len, scored.heatmaps)) > 0


def test_heatmaps_of_an_unknown_class_or_too_many_are_refused(model, registered: Path) -> None:
    images = np.load(registered / "data/cache/images.npy")
    with pytest.raises(ValueError, match=r"^heatmaps: 'No Finding' is none of Atelectasis, "):
        model.predict(images[:1], params={"heatmaps": ["No Finding"]})
    with pytest.raises(ValueError, match=r"^heatmaps: 560 in one response, at most 200"):
        model.predict(images, params={"heatmaps": list(FINDINGS)})


def test_an_image_beyond_the_limit_of_the_input_check_is_refused(
    registered: Path, tmp_path: Path
) -> None:
    from cxr14.tracking.pyfunc_model import Radiographs

    check = InputCheck.load("data/input_check.npz")
    replace(check, limits=np.full_like(check.limits, 1e-6)).save(tmp_path / "input_check.npz")
    model, context = Radiographs(), SimpleNamespace()
    context.artifacts = {
        "model": "models/alexnet",
        "decision": "evaluation/alexnet/decision.json",
        "serving": "serving/alexnet.json",
        "input_check": tmp_path / "input_check.npz",
    }
    model.load_context(context)
    images = np.load("data/cache/images.npy")[:2]
    scored = model.predict(context, {"image": images})
    assert all(why[0].startswith("unlike the images of train") for why in scored.refusals)
    assert scored[list(CLASSES)].isna().all(axis=None)


@pytest.mark.parametrize("shape", [(1, 31, 31), (1, 40, 50)])
def test_images_it_cannot_take_are_named(model, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"^images of {shape[1]}x{shape[2]} pixels"):
        model.predict(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (
            np.zeros((1, 40, 40), np.float32),
            r"float32 \(1, 40, 40\); give base64 text of PNG, JPEG or DI",
        ),
        (np.zeros((1, 40, 40, 1), np.uint8), r"uint8 \(1, 40, 40, 1\); give base64 text"),
        (np.array([7], object), "image 0: of type int; give base64 text"),
        (np.array([None], object), "image 0: missing; give base64 text"),
        (np.array([text(PICTURES["1.png"]), "äöü"]), "image 1: not base64"),
        (np.array(["abc"]), r"image 0: not base64 \(.*padding"),
        (np.array([text(b"no picture")]), r"image 0: not a readable image \(neither PNG, JPEG nor"),
        (np.array([text(PICTURES["1.png"][:300])]), "image 0: not a readable image"),
        (
            np.array([text(encode(noise(1, 31, 64)))]),
            "image 0: 64×31 pixels; a side has at least 32",
        ),
        (np.array([""]), r"image 0: not a readable image \(the file is empty\)"),
    ],
)
def test_other_input_is_refused_in_one_sentence(model, array: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        model.predict(array)
    assert "\n" not in str(caught.value)


def test_the_stored_model_tells_signature_example_and_exact_requirements(model) -> None:
    from mlflow.types import DataType

    signature = model.metadata.signature
    assert signature.inputs.input_names() == ["image"]
    assert signature.outputs.input_names() == COLUMNS
    kinds = signature.outputs.input_types()
    assert set(kinds[:-3]) == {DataType.double}
    assert [str(kind) for kind in kinds[-3:]] == [
        "Array(string)",
        "Array(string)",
        "DataType.string",
    ]
    assert {param.name: param.default for param in signature.params} == {
        "calibrated": True,
        "decide": False,
        "force": False,
        "heatmaps": [],
    }
    (folder,) = Path("mlruns").rglob("MLmodel")
    example = json.loads((folder.parent / "serving_input_example.json").read_text())
    (row,) = example["dataframe_split"]["data"]
    Image.open(io.BytesIO(base64.b64decode(row[0]))).verify()
    assert model.predict(model.input_example).shape == (1, 18)
    required = (folder.parent / "requirements.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[a-z0-9.-]+==[0-9][\w.+]*", line) for line in required)
    conda = yaml.safe_load((folder.parent / "conda.yaml").read_text())
    assert conda["dependencies"][-1]["pip"] == required


def test_the_requirements_are_what_the_code_of_the_model_imports() -> None:
    from cxr14.tracking.registry import REQUIRED

    files = needed_files(Path("src/cxr14/tracking/pyfunc_model.py"))
    names = {module.split(".")[0] for file in files for module in imported_names(ROOT / file)}
    packages = importlib.metadata.packages_distributions()
    foreign = names - {"cxr14", *sys.stdlib_module_names}
    imported = {package.lower().replace("_", "-") for name in foreign for package in packages[name]}
    assert imported - {"mlflow-skinny", "mlflow-tracing"} == set(REQUIRED)


def test_the_model_brings_its_own_code_wherever_it_is_loaded(
    model, registered: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder,) = (registered / "mlruns").rglob("MLmodel")
    arguments = [str(folder.parent), str(registered / "data/cache/images.npy")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    answered = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *arguments],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answered.returncode == 0, answered.stderr
    answer = json.loads(answered.stdout)
    assert Path(answer["file"]).is_relative_to(folder.parent)
    expected = model.predict(np.load(arguments[1]))
    for name in CLASSES:
        given, wanted = (
            np.array(values, float) for values in (answer["table"][name], expected[name])
        )
        np.testing.assert_allclose(given, wanted, atol=1e-5)


def test_thresholds_of_test_time_augmentation_are_used_with_it(
    registered: Path, tmp_path: Path
) -> None:
    """Without them the image alone is scored."""
    from cxr14.tracking.pyfunc_model import Radiographs

    augment = {"flip": 0.0, "rotation": 0.0, "scale": 0.0, "shift": 0.4, "brightness": 0.0}
    description = {"backbone": "alexnet", "input_size": 64}
    description |= {"head": {"transition_channels": 4, "pooling": "avg", "lse_r": 10.0}}
    description["head"]["output_stride"] = 32
    network = build_network("alexnet", **description["head"], seed=1)
    save_model(tmp_path, network, description | {"params": {"train": {"augment": augment}}})
    images = np.random.default_rng(1).integers(0, 256, (3, 64, 64), dtype=np.uint8)
    decision = read_json("evaluation/alexnet/decision.json")
    for tta, changes in ((False, UNCHANGED), (True, AugmentParams(**augment))):
        write_json(tmp_path / "decision.json", decision | {"tta": tta})
        model, context = Radiographs(), SimpleNamespace()
        context.artifacts = {
            "model": tmp_path,
            "decision": tmp_path / "decision.json",
            "serving": "serving/alexnet.json",
            "input_check": "data/input_check.npz",
        }
        model.load_context(context)
        scored = model.predict(context, {"image": images}, RAW)[list(CLASSES)]
        logits = predict_views(network.eval(), images, np.arange(3), 64, 2, views(changes))
        np.testing.assert_allclose(scored, expit(logits).mean(axis=0), atol=1e-5)
        assert len(logits) == (5 if tta else 1)
