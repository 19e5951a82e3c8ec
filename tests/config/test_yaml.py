"""The parser of params files: encodings, kinds of file, and the limits that it keeps."""

import os
import re
import time
from pathlib import Path

import pytest
from dvc.utils.serialize import load_yaml

from cxr14.config.reader import MAX_BYTES, ParamsError, read_yaml
from cxr14.errors import explain

BLOCKS = "a:\n  b: 1\n  c: [x, y]\nd: é\n"
READ = {"a": {"b": 1, "c": ["x", "y"]}, "d": "é"}


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Path("params.yaml")


def refusal(path: Path) -> str:
    """The one short line that reading the file ends in, within two seconds."""
    start = time.monotonic()
    with pytest.raises((ParamsError, OSError)) as caught:
        read_yaml(path)
    sentence = explain(caught.value)
    assert time.monotonic() - start < 2
    assert "params.yaml" in sentence
    assert "\n" not in sentence
    assert len(sentence) < 700
    return sentence


@pytest.mark.parametrize(
    "content",
    [
        BLOCKS.encode(),
        BLOCKS.encode("utf-8-sig"),
        BLOCKS.replace("\n", "\r\n").encode(),
        BLOCKS.replace("\n", "\r\n").encode("utf-8-sig"),
        ("---\n" + BLOCKS).encode(),
    ],
    ids=["utf-8", "bom", "crlf", "bom and crlf", "one document"],
)
def test_utf8_in_all_its_forms_is_read_as_dvc_reads_it(path, content):
    path.write_bytes(content)
    assert read_yaml(path) == READ
    assert load_yaml(str(path)) == READ


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-16", "is UTF-16; save it as UTF-8"),
        ("utf-16-le", "binary, or UTF-16 without a byte order mark; save it as UTF-8"),
        ("utf-32", "is UTF-32; save it as UTF-8"),
        ("latin-1", r"is not UTF-8: byte 0xe9 in line 4 (Latin-1 or Windows-1252?); save it as"),
    ],
)
def test_another_encoding_is_named_since_dvc_cannot_read_it_either(path, encoding, told):
    path.write_bytes(BLOCKS.encode(encoding))
    assert told in refusal(path)


@pytest.mark.parametrize("text", ["", "# a comment\n", "null\n", "---\n"])
def test_a_file_of_nothing_has_no_blocks(path, text):
    path.write_text(text)
    assert read_yaml(path) == {}


PLAIN = (
    "a: no\nb: 010\nc: 1_000\nd: 1e-3\ne: 1:30\nf: 0o10\ng: on\ni: 2020-01-01\nj: '8'\nk: True\n"
)


def test_plain_values_are_what_dvc_takes_them_for(path):
    """PyYAML read `no` as false and 010 as 8: the stage used other values than the graph."""
    path.write_text(PLAIN)
    assert read_yaml(path) == load_yaml(str(path))
    assert read_yaml(path)["a"] == "no"
    assert read_yaml(path)["b"] == 10


def test_aliases_and_merged_mappings_are_read(path):
    path.write_text("base: &b {x: 1, y: [2]}\nown: {<<: *b, x: 3}\nsame: *b\n")
    assert read_yaml(path)["own"] == {"x": 3, "y": [2]}
    assert read_yaml(path)["same"] == {"x": 1, "y": [2]}


def laughs(first: str, later: str, levels: int) -> str:
    """An alias bomb: each level names the one before several times."""
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{n}: &a{n} {later.replace('*', f'*a{n - 1}')}" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        laughs("[lol, lol]", "[*, *, *, *, *, *, *, *, *]", 10),
        laughs("{k: lol}", "{p: *, q: *}", 30),
        laughs("{k: lol}", "{<<: *, q: *}", 30),
        laughs("x" * 1000, "[*, *, *, *, *, *, *, *, *]", 6),
        laughs("[1]", "[*]", 1200),
    ],
    ids=["lists", "mappings", "merged", "long text", "a chain"],
)
def test_an_alias_bomb_is_refused_at_once(path, text):
    path.write_text(text)
    assert re.search(r"aliases \(\*name\) that (expand to more|nest deeper) than", refusal(path))


@pytest.mark.parametrize("text", ["a: &x [*x]", "a: &x {b: *x}", "a: *x\nb: &x 1"])
def test_an_alias_of_what_is_not_complete_is_refused(path, text):
    path.write_text(text)
    assert "the alias *x stands before or inside its anchor" in refusal(path)


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 50_000 + "a"])
def test_deep_nesting_is_refused_before_it_is_built(path, text):
    path.write_text(text)
    assert "nested deeper than 20 levels (line 1)" in refusal(path)


def test_a_huge_file_is_refused_unread(path):
    with path.open("wb") as file:
        file.truncate(50 * 1024**3)  # sparse
    assert refusal(path) == "params.yaml is larger than 256 KiB, the limit for params"
    path.write_text("a: 1\n" + "#" * MAX_BYTES)
    assert "larger than 256 KiB" in refusal(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: 2\na: 3\n", "a stands twice, in lines 1 and 3; keep one"),
        ("t:\n  e: 1\n  f: 2\n  e: 3\n", "t.e stands twice, in lines 2 and 4; keep one"),
        ("t:\n  o:\n    n:\n      e: 1\n      'e': 2\n", "t.o.n.e stands twice, in lines 4 and 5"),
        ("t: [{e: 1}, {e: 1, e: 2}]", "t.e stands twice"),
        ("a: {<<: {x: 1}, <<: {y: 1}}", "a.<< stands twice"),
    ],
)
def test_a_repeated_key_is_named_with_both_lines(path, text, told):
    """The last one won in silence."""
    path.write_text(text)
    assert told in refusal(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\n---\nb: 2\n", "a second document starts (---); keep one (line 2)"),
        ("[1, 2]", "holds [1, 2]; it should hold blocks"),
        ("a text", "holds 'a text'; it should hold blocks"),
        ("a: !!python/object/apply:os.system ['id']", "python/object/apply:os.system"),
        ("a: !!int '3'", "write plain values (line 1)"),
        ("a: !own x", "the tag '!own'; write plain values (line 1)"),
        ("2020-01-01: 3", "the key datetime.date(2020, 1, 1) is no text; keys are names"),
        ("a: {1: 2}", "a: the key 1 is no text"),
        ("a: [{null: 2}]", "a: the key None is no text"),
        ("? [a]\n: 1", "a list, mapping or alias as a key; write a name (line 1)"),
        ("a:\n\tb: 1\n", "found character '\\t' that cannot start any token, line 2"),
        ("a: b: c", "mapping values are not allowed here, line 1, column 5"),
        ("a: 2020-13-45", "month must be in 1..12"),
        ("a: " + "9" * 5000, "5000 digits"),
        ("a: \x07", "special characters are not allowed"),
        ("a: *" + "x" * 9000, "the alias *xxx"),
        ("a: {" + "x" * 900 + ": 1, " + "x" * 900 + ": 2}", "stands twice"),
    ],
)
def test_what_is_no_file_of_blocks_is_one_sentence(path, text, told):
    path.write_text(text)
    assert told in refusal(path)


def test_a_pipe_a_device_or_a_directory_is_refused_without_reading(path):
    os.mkfifo(path)
    assert refusal(path) == "params.yaml is a named pipe, not a regular file"
    path.unlink()
    path.mkdir()
    assert refusal(path) == "params.yaml is a directory, not a regular file"
    path.rmdir()
    path.symlink_to("/dev/zero")
    assert refusal(path) == "params.yaml is a device, not a regular file"


def test_links_to_a_file_to_nothing_and_to_themselves(path):
    Path("other.yaml").write_text(BLOCKS)
    path.symlink_to("other.yaml")
    assert read_yaml(path) == READ
    Path("other.yaml").unlink()
    assert "does not exist here; run from the root of the repository" in refusal(path)
    path.unlink()
    path.symlink_to("params.yaml")
    assert "Too many levels of symbolic links" in refusal(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_is_named(path):
    path.write_text(BLOCKS)
    path.chmod(0)
    assert "Permission denied" in refusal(path)
