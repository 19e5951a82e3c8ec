"""What a user can mend is told in a sentence; a mistake of ours shows where it is."""

import numpy as np
import pytest
import typer

from cxr14.mendable import mendable
from cxr14.params._read import ParamsError
from cxr14.params.train import read
from cxr14.ranking import macro_auroc
from stages import run


def error_of(call) -> BaseException:
    with pytest.raises((ValueError, OSError, KeyError)) as caught:
        call()
    return caught.value


def test_a_sentence_of_ours_can_be_mended(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = error_of(read)
    assert isinstance(error, ParamsError)
    assert mendable(error)


def test_a_file_that_is_not_there_can_be_mended_whoever_looked_for_it(tmp_path):
    assert mendable(error_of(lambda: np.load(tmp_path / "none.npy")))


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: {}["key"],
        lambda: np.stack([np.zeros(2), np.zeros(3)]),
        lambda: macro_auroc(np.zeros((4, 2)), np.zeros((4, 3)), ("Mass", "Hernia")),
    ],
)
def test_what_a_library_raises_for_a_mistake_cannot(mistake):
    assert not mendable(error_of(mistake))


def test_a_stage_shows_where_a_mistake_is(monkeypatch):
    """A strict zip that failed after ten hours said `zip() argument 2 is shorter`, and no more."""
    monkeypatch.setattr("sys.argv", ["stage"])

    def stage() -> None:
        np.stack([np.zeros(2), np.zeros(3)])

    with pytest.raises(ValueError, match="same shape"):
        run(stage, None)


def test_a_stage_ends_with_a_sentence_that_can_be_mended(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("sys.argv", ["stage"])
    monkeypatch.chdir(tmp_path)

    def stage() -> None:
        typer.echo(read())

    with pytest.raises(SystemExit) as caught:
        run(stage, None)
    assert caught.value.code == 1
    assert capsys.readouterr().err.startswith("error: params.yaml does not exist here;")
