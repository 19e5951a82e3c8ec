"""Recipes with real images, from `cxr14 use` to the report."""

from pathlib import Path

import pytest

from cxr14.io import read_json
from tests.clones import clone_into, run, shell

pytestmark = pytest.mark.graph


def test_a_first_look_at_real_images_ends_with_a_report(nih: Path, tmp_path: Path) -> None:
    """The 315 images with NIH's official lists; the split is theirs."""
    clone = tmp_path / "cxr14"
    clone_into(clone)
    shell(clone, f"cxr14 use folder smoke --set data.folder={nih} --set train.epochs=1")
    shell(clone, "dvc repro")
    summary = (clone / "report/summary.txt").read_text()
    assert "alexnet" in summary
    assert "hantom" not in summary
    assert read_json(clone / "metrics/patient_split.json", "own_split")["own_split"] == 0
    assert (clone / "report/index.html").stat().st_size > 100_000
    shell(clone, "cxr14 use phantom")
    assert run(clone, "git", "diff", "--name-only", "params.yaml") == ""
