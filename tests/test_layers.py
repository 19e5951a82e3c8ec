"""A package imports only from those above it in one order."""

from pathlib import Path

import pytest

from tests.imports import ROOT, imported_names

LAYERS = [
    "errors",
    "child_server",
    "project",
    "numerics",
    "io",
    "labels",
    "masks",
    "console",
    "config",
    "phantoms",
    "datasets",
    "preprocessing",
    "metrics",
    "models",
    "training",
    "evaluation",
    "localization",
    "chexnext",
    "serving",
    "figures",
    "report",
    "tracking",
    "app",
    "cli_predict",
    "cli",
]
"""Of src/cxr14, in the order of the README: each imports only from those before it."""

UPWARDS = {
    ("config", "models"): "the check asks torchvision and timm for their names, inside a function",
}
SOURCE = Path("src/cxr14")


def imports_of(layer: str) -> set[str]:
    """The layers that the files of a layer import."""
    files = [*(ROOT / SOURCE / layer).glob("*.py")] or [ROOT / SOURCE / f"{layer}.py"]
    names = set().union(*(imported_names(file) for file in files))
    return {name.split(".")[1] for name in names if name.startswith("cxr14.")} - {layer}


def test_every_package_has_its_place() -> None:
    modules = (path.relative_to(ROOT / SOURCE) for path in (ROOT / SOURCE).rglob("*.py"))
    assert {path.parts[0].removesuffix(".py") for path in modules} - {"__init__"} == set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_package_imports_only_from_those_above_it(layer: str) -> None:
    above = LAYERS[: LAYERS.index(layer)]
    assert {name for name in imports_of(layer) if name not in above} == {
        target for source, target in UPWARDS if source == layer
    }
