import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cxr14.findings import CLASSES
from cxr14.tracking.artifacts import find_trained
from cxr14.tracking.registry import register

ELSEWHERE = """
import json, sys
import mlflow, numpy as np
model = mlflow.pyfunc.load_model(sys.argv[1])
images = np.load(sys.argv[2])
import cxr14
print(json.dumps({"file": cxr14.__file__, "table": model.predict(images).to_dict("list")}))
"""


@pytest.fixture
def model(project: Path):
    import mlflow

    register(find_trained(["alexnet"]))
    return mlflow.pyfunc.load_model("models:/cxr14@champion")


def test_any_batch_and_any_size_give_fifteen_named_probabilities(model, project: Path) -> None:
    images = np.load(project / "data/cache/images.npy")
    whole = model.predict(images)
    assert list(whole.columns) == list(CLASSES)
    assert whole.shape == (len(images), 15)
    assert ((whole > 0) & (whole < 1)).to_numpy().all()
    assert (whole.std() > 0.001).all()  # it does look at the images
    one = model.predict(images[3:4])
    np.testing.assert_allclose(one.to_numpy(), whole.iloc[3:4].to_numpy(), atol=1e-5)
    assert model.predict(np.repeat(images, 7, axis=0)).shape == (84, 15)  # more than one batch
    assert model.predict(images[:0]).shape == (0, 15)
    assert model.predict(np.zeros((2, 32, 32), np.uint8)).shape == (2, 15)
    assert model.predict(np.zeros((1, 300, 300), np.uint8)).shape == (1, 15)


@pytest.mark.parametrize("shape", [(1, 31, 31), (1, 40, 50)])
def test_images_it_cannot_take_are_named(model, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"images of {shape[1]}x{shape[2]} pixels"):
        model.predict(np.zeros(shape, np.uint8))


def test_other_types_and_shapes_are_refused_by_the_signature(model) -> None:
    from mlflow import MlflowException

    with pytest.raises(MlflowException, match="uint8"):
        model.predict(np.zeros((1, 40, 40), np.float32))
    with pytest.raises(MlflowException, match="shape"):
        model.predict(np.zeros((1, 40, 40, 1), np.uint8))


def test_the_model_brings_its_own_code_wherever_it_is_loaded(
    model, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder,) = (project / "mlruns").rglob("MLmodel")
    arguments = [str(folder.parent), str(project / "data/cache/images.npy")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    loaded = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *arguments],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    answer = json.loads(loaded.stdout)
    assert Path(answer["file"]).is_relative_to(folder.parent)
    expected = model.predict(np.load(arguments[1]))
    for name in CLASSES:
        np.testing.assert_allclose(answer["table"][name], expected[name], atol=1e-5)
