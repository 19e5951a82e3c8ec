"""Execution of notebooks/tour.ipynb."""

from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

SECONDS = 300


def read(path: Path) -> Any:
    """Read a notebook."""
    return nbformat.read(path, as_version=4)


def execute(path: Path) -> list[str]:
    """Run a notebook in its folder; returns the plain text of all results."""
    notebook = read(path)
    folder = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=SECONDS, resources=folder).execute()
    return [
        output["data"]["text/plain"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output["output_type"] == "execute_result"
    ]
