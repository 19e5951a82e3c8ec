"""The comparison of hashes, and the command of an emulated Python."""

import shutil
import subprocess
import sys

import pytest

from verify.cpus import QEMU, compared, kind_of, write_worker


def test_differing_and_missing_files_are_listed_by_kind_and_processor():
    native = {"models/a/weights": "1", "metrics/train/a.json": "2", "params.yaml": "3"}
    other = {"models/a/weights": "9", "metrics/train/a.json": "2", "params.yaml": "3", "x/y": "4"}
    assert compared(native, {"Haswell": native, "Skylake": other}) == {
        "metrics/train": {"Haswell": [], "Skylake": []},
        "models": {"Haswell": [], "Skylake": ["models/a/weights"]},
        "params.yaml": {"Haswell": [], "Skylake": []},
        "x": {"Haswell": [], "Skylake": ["x/y"]},
    }


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("data/cache/images.npy", "data/cache"),
        ("data/issues.csv", "data"),
        ("predictions/alexnet.parquet", "predictions"),
        ("plots/eda/sex.png", "plots/eda"),
    ],
)
def test_the_kind_of_an_output_is_its_folder(path, kind):
    assert kind_of(path) == kind


@pytest.mark.skipif(shutil.which(QEMU) is None, reason="qemu-user is not installed")
def test_an_emulated_python_has_the_packages_and_not_the_instructions_of_this_one(tmp_path):
    worker = write_worker(tmp_path / "worker", "Haswell")
    code = "import sys, numpy; from numpy._core._multiarray_umath import __cpu_features__ as f; "
    done = subprocess.run(
        [str(worker), "-c", code + "print(f['AVX2'], f['AVX512F'], sys.prefix)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["True", "False", sys.prefix]
