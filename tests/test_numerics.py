"""The environment of a stage: what NumPy and torch report, and the bits of a training."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cxr14 import numerics
from cxr14.numerics import describe_deviation, has_avx2
from tests.conftest import ROOT

REPORT = """
import stages, json, os, sys
early = [name for name in ("numpy", "pandas", "torch", "pyarrow") if name in sys.modules]
import numpy, torch
dispatched = numpy._core._multiarray_umath.__cpu_features__
wide = [name for name in numpy._core._multiarray_umath.__cpu_dispatch__
        if name != "X86_V3" and dispatched.get(name)]
print(json.dumps({
    "early": early, "capability": torch.backends.cpu.get_cpu_capability(),
    "threads": torch.get_num_threads(), "wide": wide, "environment": dict(os.environ)}))
"""

TWO_STEPS = """
import stages, hashlib
from tests.training.tiny import RECIPE, make_loop, make_session, replace
from cxr14.models.network import build_network
network = build_network("resnet18", 16, "avg", 10.0, seed=3)
from cxr14.training.dataset import load_split
import numpy as np
rng = np.random.default_rng(1)
images = rng.integers(0, 256, (16, 64, 64), dtype=np.uint8)
split = load_split(images, np.arange(16), np.float32(rng.random((16, 15)) < 0.5), 64, "cpu")
recipe = replace(RECIPE, input_size=64, epochs=1)
make_loop(split).run(make_session(network, recipe))
state = network.state_dict().values()
print(hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in state)).hexdigest())
"""

pytestmark = pytest.mark.skipif(not has_avx2(), reason="this processor lacks AVX2")


def run(folder: Path, code: str, key: str, **variables: str) -> str:
    """The output of code that imports `stages` first, in a folder whose params have the key."""
    params = (ROOT / "params.yaml").read_text()
    (folder / "params.yaml").write_text(params.replace("numerics: portable", f"numerics: {key}"))
    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder, env=environment | variables, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_portable_sets_instructions_and_threads_before_numpy_and_torch_are_imported(tmp_path):
    user = {"OMP_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1", "MKL_NUM_THREADS": "1"}
    report = json.loads(run(tmp_path, REPORT, "portable", **user))
    assert report["early"] == []
    assert (report["capability"], report["threads"], report["wide"]) == ("AVX2", 2, [])


def test_fast_leaves_threads_and_instructions_of_torch_to_the_user(tmp_path):
    report = json.loads(run(tmp_path, REPORT, "fast", OMP_NUM_THREADS="1"))
    assert report["threads"] == 1
    networks = {*numerics.TORCH, "ATEN_CPU_CAPABILITY"} - {"OMP_NUM_THREADS"}
    assert networks & set(report["environment"]) == set()


def test_numpy_stays_below_avx512_in_fast_too_so_phantoms_are_equal(tmp_path):
    assert json.loads(run(tmp_path, REPORT, "fast"))["wide"] == []


def test_features_of_numpy_that_are_disabled_stay_so(tmp_path):
    report = json.loads(run(tmp_path, REPORT, "portable", NPY_DISABLE_CPU_FEATURES="X86_V3"))
    disabled = report["environment"]["NPY_DISABLE_CPU_FEATURES"].split()
    assert set(disabled) == {"X86_V3", "X86_V4", "AVX512_ICL", "AVX512_SPR"}


@pytest.mark.graph
def test_the_number_of_threads_that_a_user_asks_for_changes_no_weight_in_portable(tmp_path):
    one, three = (run(tmp_path, TWO_STEPS, "portable", OMP_NUM_THREADS=n) for n in ("1", "3"))
    assert one == three


@pytest.mark.graph
def test_the_number_of_threads_changes_weights_in_fast_so_the_test_above_can_fail(tmp_path):
    one, three = (run(tmp_path, TWO_STEPS, "fast", OMP_NUM_THREADS=n) for n in ("1", "3"))
    assert one != three


@pytest.mark.parametrize("flags", ["fpu sse2 avx", "fpu sse2 avx avx2"])
def test_a_processor_without_avx2_or_fma_is_reported_and_gets_no_instructions_that_it_lacks(
    tmp_path, monkeypatch, flags
):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"model name\t: Old\nflags\t\t: {flags}\n")
    assert not has_avx2(cpuinfo)
    monkeypatch.setattr(numerics, "has_avx2", lambda: False)
    monkeypatch.setattr(numerics.os, "environ", {})
    numerics.set_environment("portable")
    assert not {"ATEN_CPU_CAPABILITY", "OPENBLAS_CORETYPE"} & set(numerics.os.environ)
    assert "last digits" in str(describe_deviation())


def test_another_architecture_is_reported(monkeypatch):
    monkeypatch.setattr(numerics.platform, "machine", lambda: "aarch64")
    assert "aarch64" in str(describe_deviation())


def test_a_processor_with_avx2_needs_no_note():
    assert describe_deviation() is None
