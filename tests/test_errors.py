"""An error that the user can fix is one sentence; a bug shows where it is."""

import errno
import os

import numpy as np
import pytest
import typer

from cxr14.errors import QUOTED, UserError, explain, mount_point, quote
from cxr14.params.train import read
from cxr14.ranking import macro_auroc
from stages import run


def error_of(call) -> BaseException:
    with pytest.raises((ValueError, OSError, KeyError)) as caught:
        call()
    return caught.value


def test_wrong_params_are_a_user_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = error_of(read)
    assert isinstance(error, UserError)
    assert explain(error) == str(error)


def test_a_missing_file_is_named_whichever_library_looked_for_it(tmp_path):
    sentence = explain(error_of(lambda: np.load(tmp_path / "none.npy")))
    assert sentence == f"{tmp_path / 'none.npy'}: No such file or directory"


@pytest.mark.parametrize(
    "bug",
    [
        lambda: {}["key"],
        lambda: np.stack([np.zeros(2), np.zeros(3)]),
        lambda: macro_auroc(np.zeros((4, 2)), np.zeros((4, 3)), ("Mass", "Hernia")),
        lambda: b"\xff".decode(),
    ],
)
def test_what_a_library_raises_for_a_bug_is_no_user_error(bug):
    assert explain(error_of(bug)) is None


def test_a_full_disk_is_one_sentence_with_the_file_system(tmp_path):
    path = tmp_path / "weights.safetensors"
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    sentence = explain(error)
    assert sentence.startswith(f"the file system {mount_point(tmp_path)} is full; free some space")
    assert str(path) in sentence
    assert "\n" not in sentence


def test_the_mount_point_of_a_path_that_does_not_exist_is_that_of_its_parent(tmp_path):
    assert mount_point(tmp_path / "a" / "b") == mount_point(tmp_path)
    assert mount_point(tmp_path).is_mount()


def test_a_quoted_value_is_cut_and_its_control_characters_are_escaped():
    assert quote("Mass\x1b[2J\n") == r"'Mass\x1b[2J\n'"
    long = quote("x" * 10_000)
    assert len(long) < QUOTED + 30
    assert long.endswith("(10002 characters)")


def test_an_error_never_sends_control_characters_to_a_terminal():
    assert explain(UserError("row 2: \x1b[31m\x07 is not allowed\nrow 3")) == (
        "row 2: \\x1b[31m\\x07 is not allowed\nrow 3"
    )


def test_a_stage_shows_where_a_bug_is(monkeypatch):
    """A strict zip that failed after ten hours said `zip() argument 2 is shorter`, and no more."""
    monkeypatch.setattr("sys.argv", ["stage"])

    def stage() -> None:
        np.stack([np.zeros(2), np.zeros(3)])

    with pytest.raises(ValueError, match="same shape"):
        run(stage, None)


def test_a_stage_ends_with_one_sentence_for_an_error_of_the_user(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("sys.argv", ["stage"])
    monkeypatch.chdir(tmp_path)

    def stage() -> None:
        typer.echo(read())

    with pytest.raises(SystemExit) as caught:
        run(stage, None)
    assert caught.value.code == 1
    assert capsys.readouterr().err.startswith("error: params.yaml does not exist here;")
