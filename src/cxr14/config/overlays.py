"""Overlays: partial params trees by name, laid over params.yaml and chexnext/params.yaml.

An overlay is a file of recipes/. Its first comment line is its title. Its keys are those of
params.yaml; a block `chexnext` holds keys of chexnext/params.yaml. A mapping changes only the keys
that it names, except those of REPLACED, which are replaced whole.
"""

import io
import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from cxr14.config.chexnext import FILE as CHEXNEXT
from cxr14.config.reader import ParamsError, did_you_mean, read_yaml
from cxr14.errors import UserError, quote

FOLDER: Final = Path("recipes")
PARAMS: Final = "params.yaml"
BLOCK: Final = "chexnext"
"""Block of an overlay with the keys of chexnext/params.yaml."""

REPLACED: Final = ("train.overrides", "external")
"""Mappings by backbone or set, which are replaced whole: no entry of another recipe remains."""

WIDTH: Final = 4096
"""Characters per line; ruamel.yaml breaks longer ones."""

Tree = dict[str, Any]


class Overlay(NamedTuple):
    """A partial params tree with its name and its title."""

    name: str
    title: str
    tree: Tree


class Change(NamedTuple):
    """A key of a params file with its values; ABSENT where it has none."""

    file: str
    key: str
    before: Any
    after: Any


class _Absent:
    def __repr__(self) -> str:
        return "–"


ABSENT: Final = _Absent()


def overlay_names() -> list[str]:
    """Return the names of all overlays, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read_overlay(name: str) -> Overlay:
    """Read an overlay by name.

    Raises:
        UserError: there is none of this name, or its file is no params tree.
    """
    names = overlay_names()
    if name not in names:
        meant = did_you_mean(name, names)
        raise UserError(f"{FOLDER} has no {quote(name)}{meant}; it has {', '.join(names)}")
    path = FOLDER / f"{name}.yaml"
    first = path.read_text("utf-8").partition("\n")[0]
    return Overlay(name, first.removeprefix("#").strip(), read_yaml(path))


def parse_setting(text: str) -> Tree:
    """Parse KEY=VALUE, with dots in the key and YAML as the value, to a tree.

    Raises:
        UserError: it has another form.
    """
    key, equals, value = text.partition("=")
    try:
        tree: Any = YAML(typ="safe", pure=True).load(value)
    except YAMLError:
        equals = ""
    if not equals or not all(key.split(".")):
        raise UserError(f"--set {quote(text)}; write KEY=VALUE, such as data.folder=/images")
    for word in reversed(key.split(".")):
        tree = {word: tree}
    return dict(tree)


def split_files(trees: Iterable[Tree]) -> dict[str, list[Tree]]:
    """Return the trees of each params file, in order."""
    of_file: dict[str, list[Tree]] = {PARAMS: [], CHEXNEXT: []}
    for tree in trees:
        of_file[PARAMS].append({key: value for key, value in tree.items() if key != BLOCK})
        of_file[CHEXNEXT].append(tree.get(BLOCK) or {})
    return of_file


def lay_over(text: str, trees: Sequence[Tree], file: str, merge: bool = False) -> str:
    """Lay trees over a params file, in order; all else stays byte for byte.

    Args:
        text: the content of the file.
        trees: partial trees.
        file: its name, for errors.
        merge: whether keys of REPLACED are merged too, as those of single settings are.

    Returns:
        The new content. Comments, order and quoting of other keys are kept.

    Raises:
        ParamsError: a key is unknown.
    """
    yaml = _round_trip()
    content = yaml.load(text)
    for tree in trees:
        _lay(content, tree, file, "", merge)
    stream = io.StringIO()
    yaml.dump(content, stream)
    return stream.getvalue()


def _round_trip() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = WIDTH
    yaml.Representer = _Representer
    return yaml


class _Representer(RoundTripRepresenter):
    """Writes None as ``null``, which ruamel.yaml leaves empty."""


_Representer.add_representer(
    type(None), lambda writer, _: writer.represent_scalar("tag:yaml.org,2002:null", "null")
)


def _lay(
    target: dict[Any, Any], tree: Mapping[str, Any], file: str, path: str, merge: bool
) -> None:
    has_open_names = path.removesuffix(".").startswith(REPLACED)
    for name, value in tree.items():
        key = f"{path}{name}"
        if name not in target and not has_open_names:
            meant = did_you_mean(name, map(str, target), path)
            raise ParamsError(f"{file} has no key {quote(key)}{meant}")
        old = target.get(name)
        replaced = key in REPLACED and not (merge and value)
        if isinstance(old, dict) and isinstance(value, dict) and not replaced:
            _lay(old, value, file, f"{key}.", merge)
        elif isinstance(value, dict) and not isinstance(old, dict) and not has_open_names:
            raise ParamsError(f"{file}: {key} is a value and has no keys within it")
        elif name not in target or not _equal(old, value):  # an equal value keeps its form (1e-4)
            target[name] = value


def _equal(value: Any, other: Any) -> bool:
    """Whether two values of YAML are equal; unlike in Python 1 differs from true."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def differences(before: str, after: str, file: str) -> list[Change]:
    """List the keys whose values differ between two contents of a params file."""
    yaml = YAML(typ="safe", pure=True)
    return [Change(file, *change) for change in _differences(yaml.load(before), yaml.load(after))]


def _differences(old: Tree, new: Tree, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    for name in {**old, **new}:
        before, after = old.get(name, ABSENT), new.get(name, ABSENT)
        if isinstance(before, dict) and isinstance(after, dict) and after:
            yield from _differences(before, after, f"{path}{name}.")
        elif not _equal(before, after):
            yield f"{path}{name}", before, after


def as_settings(changes: Iterable[Change]) -> list[str]:
    """Return the words after ``-S`` by which `dvc exp run` makes these changes.

    In train.overrides null stands for a key that disappears and for an empty mapping: DVC 3 can
    damage a file with comments when it removes keys (``~KEY``), and Hydra merges mappings.

    Raises:
        UserError: DVC has no form for a change: the end of an external set.
    """
    words = []
    for file, key, before, after in changes:
        ends = after is ABSENT or after == {}
        if ends and not key.startswith(REPLACED[0]):
            raise UserError(
                f"DVC cannot pass {key} to an experiment; run `cxr14 use` with the same words, and "
                f"then `dvc exp run --temp`, which takes the params of the work tree"
            )
        value = None if ends else after
        prefix = "" if file == PARAMS else f"{file}:"
        sign = "+" if before is ABSENT else ""
        if ":" in key:
            key, value = _without_colon(key, value)
            sign = "++"
        words.append(f"{prefix}{sign}{key}={_in_hydra(value)}")
    return words


def _without_colon(key: str, value: Any) -> tuple[str, Tree]:
    """Return the part of a key before the name with a colon, and a mapping of the rest.

    Hydra merges mappings, and allows colons only in their keys: ``train.overrides`` and
    ``{timm:x: {epochs: 3}}`` for ``train.overrides.timm:x.epochs``.
    """
    names = key.split(".")
    first = next(index for index, name in enumerate(names) if ":" in name)
    for name in reversed(names[first:]):
        value = {name: value}
    return ".".join(names[:first]), value


def _in_hydra(value: Any) -> str:
    """Return a value in the grammar of Hydra's overrides, which DVC uses."""
    if isinstance(value, dict):
        items = ((key.replace(":", r"\:"), _in_hydra(item)) for key, item in value.items())
        return "{" + ",".join(f"{key}:{item}" for key, item in items) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_in_hydra, value)) + "]"
    if isinstance(value, str):
        # Backslashes count only before a quote.
        escaped = re.sub(r"(\\*)('|$)", lambda end: 2 * end[1] + end[2].replace("'", "\\'"), value)
        return f"'{escaped}'"
    return json.dumps(value)


def plan_params(names: Sequence[str], settings: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Lay overlays and settings over the params files of the working directory; write nothing.

    An overlay with `data.source: phantom` starts from the last committed files that have it.

    Args:
        names: of overlays, in order.
        settings: KEY=VALUE each, laid over last.

    Returns:
        The present and the new content of each file.

    Raises:
        UserError: an overlay, a key or a committed file does not exist.
    """
    trees = [read_overlay(name).tree for name in names]
    restored = any(tree.get("data", {}).get("source") == "phantom" for tree in trees)
    overlays, single = split_files(trees), split_files(map(parse_setting, settings))
    before = {file: Path(file).read_text("utf-8") for file in overlays}
    after = _committed_phantom(list(before)) if restored else dict(before)
    for file in before:
        after[file] = lay_over(after[file], overlays[file], file)
        after[file] = lay_over(after[file], single[file], file, merge=True)
    after[PARAMS] = lay_over(after[PARAMS], [_complete_overrides(after[PARAMS])], PARAMS, True)
    return {file: (before[file], after[file]) for file in before}


def _complete_overrides(text: str) -> Tree:
    """Return the overrides with an entry for every backbone, which dvc.yaml refers to."""
    train = YAML(typ="safe", pure=True).load(text)["train"]
    entries = {name: {} for name in train["backbones"]} | (train["overrides"] or {})
    return {"train": {"overrides": entries}}


def _committed_phantom(files: Sequence[str]) -> dict[str, str]:
    """Return the files of the last commit whose params.yaml has `data.source: phantom`.

    Raises:
        UserError: there is no such commit.
    """
    yaml = YAML(typ="safe", pure=True)
    for commit in _git("log", "--format=%H", "--", PARAMS).split():
        if yaml.load(_git("show", f"{commit}:./{PARAMS}"))["data"]["source"] == "phantom":
            return {file: _git("show", f"{commit}:./{file}") for file in files}
    raise UserError(
        f"no commit of this clone has a {PARAMS} with data.source: phantom; take the file from the "
        f"repository that you cloned"
    )


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()
        raise UserError(f"`git {' '.join(arguments)}` failed: {reason}")
    return done.stdout.decode("utf-8")
