"""The committed notebook: what GitHub shows of it. tests/test_pipeline.py executes it."""

from pathlib import Path

import pytest

from tests.notebook import read

PATH = Path(__file__).resolve().parents[1] / "notebooks" / "tour.ipynb"
CODE = [cell for cell in read(PATH).cells if cell.cell_type == "code"]


def test_the_cells_were_executed_in_order_and_without_an_error() -> None:
    assert [cell.execution_count for cell in CODE] == list(range(1, len(CODE) + 1))
    kinds = {output.output_type for cell in CODE for output in cell.outputs}
    assert kinds == {"display_data", "execute_result", "stream"}


def test_it_is_small_and_the_same_after_every_execution() -> None:
    assert PATH.stat().st_size < 500_000
    assert all(cell.metadata == {} for cell in CODE), "execution times"
    assert " at 0x" not in PATH.read_text()


@pytest.mark.parametrize("text", ["says nothing about patients", "Not a medical device"])
def test_it_carries_the_cautions(text: str) -> None:
    assert text in PATH.read_text()
