"""A stage imports of the packages that are slow to import only those that it computes with.

In `dvc repro` every stage is a process, so each of them is paid for some thirty times.
"""

import pytest

from tests.conftest import ROOT
from tests.loaded import loaded

SLOW = {
    "dvc",
    "jinja2",
    "matplotlib",
    "matplotlib.pyplot",
    "mlflow",
    "nibabel",
    "pandera",
    "scipy.stats",
    "sklearn",
    "sympy",
    "timm",
    "torch",
    "torch._dynamo",  # torch's compiler
    "torchvision",
    "torchxrayvision",
}
NETWORK = {"torch", "torchvision"}

IMPORTED = {
    "baseline": {"sklearn", "scipy.stats"},
    "check_run": {"nibabel"},
    "download": {"nibabel"},
    "evaluate": NETWORK,
    "external": NETWORK,
    "external_data": {"nibabel"},
    "localize_iobb": NETWORK,
    "register": NETWORK,
    "report": {"matplotlib", "jinja2"},
    "sheets": {"matplotlib"},
    "chexnext.evaluate": NETWORK,
    "chexnext.localize": NETWORK,
    "chexnext.predict": NETWORK,
    "chexnext.register": NETWORK,
    "chexnext.report": {"matplotlib"},
    "chexnext.sheets": {"matplotlib"},
}
"""Those of the slow ones that a stage may import at its start; the others import none."""

STAGES = {
    ".".join(path.relative_to(ROOT / "stages").with_suffix("").parts)
    for path in (ROOT / "stages").rglob("*.py")
    if path.name != "__init__.py"
}


def test_most_stages_import_no_slow_package() -> None:
    modules = [f"stages.{stage}" for stage in sorted(STAGES - set(IMPORTED))]
    assert loaded(modules, SLOW) == set()


@pytest.mark.parametrize("stage", IMPORTED)
def test_a_stage_imports_only_the_slow_packages_that_it_needs(stage: str) -> None:
    assert loaded([f"stages.{stage}"], SLOW) - IMPORTED[stage] == set()
