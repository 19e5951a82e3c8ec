"""An error that the user can fix is one sentence; a bug shows where it is."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from cxr14 import errors
from cxr14.config.blocks import read_train
from cxr14.errors import QUOTED, UserError, explain, mount_point, quote
from cxr14.metrics.auroc import macro_auroc
from stages import run
from tests.conftest import ROOT


def error_of(call) -> BaseException:
    with pytest.raises((ValueError, OSError, KeyError)) as caught:
        call()
    return caught.value


def test_wrong_params_are_a_user_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = error_of(read_train)
    assert isinstance(error, UserError)
    assert explain(error) == str(error)


def test_a_missing_file_is_named_whichever_library_looked_for_it(tmp_path):
    sentence = explain(error_of(lambda: np.load(tmp_path / "none.npy")))
    assert sentence == f"{tmp_path / 'none.npy'}: No such file or directory"


@pytest.mark.parametrize(
    "graph", [b"", b"stages:\n", b"stages: {a: null}\n", b"stages: {a: {outs: [{}]}}\n", b"\xe9"]
)
def test_a_damaged_graph_does_not_hide_the_error_of_a_missing_file(tmp_path, monkeypatch, graph):
    (tmp_path / "dvc.yaml").write_bytes(graph)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(errors, "GRAPH", tmp_path / "dvc.yaml")
    errors._output_patterns.cache_clear()
    assert errors.producing_stage("models/alexnet/model.json") is None
    errors._output_patterns.cache_clear()


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


def test_a_path_of_any_length_is_cut_in_an_error_of_the_system():
    error = error_of(Path("x" * 10**5).read_bytes)
    assert len(explain(error)) < 300
    assert "File name too long" in explain(error)
    assert len(explain(UserError(f"no file {'y' * 10**6} here"))) < 300


def test_a_value_without_a_text_is_quoted_by_its_type():
    assert quote(int("f" * 6000, 16)) == "<int too large to show>"


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
        typer.echo(read_train())

    with pytest.raises(SystemExit) as caught:
        run(stage, None)
    assert caught.value.code == 1
    assert capsys.readouterr().err.startswith("error: params.yaml does not exist here;")


USAGE = [
    (["--count", "x" * 10**6], "--count"),
    (["--count", "\x1b[2J"], "--count"),
    (["--" + "y" * 10**6], "No such option"),
    (["z" * 10**6], "unexpected extra argument"),
    (["--count"], "--count"),
]


@pytest.mark.parametrize(("words", "told"), USAGE, ids=[told for _, told in USAGE])
def test_a_wrong_command_line_is_one_short_sentence(monkeypatch, capsys, words, told):
    monkeypatch.setattr("sys.argv", ["stage", *words])

    def stage(count: int = 0) -> None:
        raise AssertionError(count)

    with pytest.raises(SystemExit) as caught:
        run(stage, None)
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert told in said
    assert len(said) < 500
    assert "\x1b[2J" not in said


def stage_outside(folder, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a stage of this repository in another folder."""
    environment = {key: value for key, value in os.environ.items() if key != "DVC_ROOT"}
    return subprocess.run(
        [sys.executable, "-m", f"stages.{name}", *words],
        cwd=folder, env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", ["check_params", "download", "patient_split", "train", "report", "chexnext.train"]
)
def test_help_is_shown_in_any_folder(tmp_path, name):
    shown = stage_outside(tmp_path, name, "--help")
    assert shown.returncode == 0
    assert "Usage: " in shown.stdout
    assert not shown.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [("baseline", []), ("train", ["--backbone", "alexnet"]), ("check_params", []), ("report", [])],
)
def test_a_stage_in_another_folder_says_that_it_belongs_in_the_root(tmp_path, name, words):
    ended = stage_outside(tmp_path, name, *words)
    assert ended.returncode == 1
    assert "root of the repository" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["train", "pretrained", "evaluate", "localize_iobb"])
def test_a_stage_takes_no_path_for_a_backbone(tmp_path, name):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    ended = stage_outside(tmp_path, name, "--backbone", "../../x;" + "a" * 10**5)
    assert ended.returncode == 1
    assert "is not the name of a backbone" in ended.stderr
    assert len(ended.stderr) < 500
    assert not list(tmp_path.rglob("*x;*"))
