"""Reader of params files, with limits on their size and structure, and of their blocks.

The parser is DVC's. Of another YAML version it would read plain scalars such as `no`, `010` or
`1_000` as other values than DVC.
"""

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

from cxr14.errors import UserError, quote
from cxr14.labels import check_name

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_EXPANDED = 1024 * 1024
"""Maximum of nodes and characters of a file after its aliases are expanded."""

BOMS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
KINDS = {
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class ParamsError(UserError):
    """An invalid value or structure in params.yaml; the message names the key."""


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a params file: blocks of plain values by name; {} if it is empty.

    Raises:
        ParamsError: it is missing, no regular file, too large, not UTF-8 or not YAML; or it holds
            several documents, tags, a key twice, a key that is no text, too many levels, or
            aliases that expand to too much.
    """
    file = Path(path)
    text = _read_text(file)
    try:
        _check_structure(text, file)
        content = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        raise ParamsError(f"{file} is no YAML: {_where(error)}") from None
    except (YAMLError, ValueError) as error:  # ValueError: a date or a number that Python refuses
        if isinstance(error, UserError):
            raise
        raise ParamsError(f"{file} is no YAML: {_shortened(error)}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ParamsError(f"{file} holds {quote(content)}; it should hold blocks, `name:` each")
    _check_keys(content, file)
    return content


def _where(error: MarkedYAMLError) -> str:
    """Return the problem, its line and column, and the line where its context starts."""
    start, mark = error.context_mark, error.problem_mark or error.context_mark
    line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    begun = f" (in what starts in line {start.line + 1})" if start and start is not mark else ""
    return _shortened(error.problem) + line + begun


def _shortened(reason: object) -> str:
    """Return the reason of a library in one line, at most 300 characters long."""
    return " ".join(str(reason).split())[:300]


def _read_text(file: Path) -> str:
    """Read a regular file of UTF-8 text, with or without a byte order mark."""
    try:
        kind = stat.S_IFMT(file.stat().st_mode)
    except FileNotFoundError:
        raise ParamsError(
            f"{file} does not exist here; run from the root of the repository"
        ) from None
    if kind != stat.S_IFREG:  # reading a pipe would block, a device would not end
        raise ParamsError(f"{file} is a {KINDS.get(kind, 'special file')}, not a regular file")
    with file.open("rb") as opened:
        content = opened.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ParamsError(f"{file} is larger than {MAX_BYTES // 1024} KiB, the limit for params")
    bom = next((name for mark, name in BOMS.items() if content.startswith(mark)), None)
    if bom or b"\0" in content:
        encoding = bom or "binary, or UTF-16 without a byte order mark"
        raise ParamsError(f"{file} is {encoding}; save it as UTF-8, the encoding that DVC reads")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ParamsError(
            f"{file} is not UTF-8: byte 0x{content[error.start]:02x} in line {line} (Latin-1 or "
            f"Windows-1252?); save it as UTF-8, the encoding that DVC reads"
        ) from None


@dataclass
class _Open:
    """A list or mapping whose end is not yet reached.

    Attributes:
        anchor: its name for aliases, if it has one.
        keys: of a mapping, the line of each key; None for a list.
        name: of the present key, None between two pairs.
        size: nodes and characters so far, aliases expanded.
        depth: levels of lists and mappings so far, itself and aliases included.
    """

    anchor: str | None
    keys: dict[str, int] | None
    name: str | None = None
    size: int = 1
    depth: int = 1


@dataclass
class _Structure:
    """Structure of a file, collected from its events; no objects are built."""

    file: Path
    documents: int = 0
    open: list[_Open] = field(default_factory=list)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Size and depth of complete nodes, by anchor."""

    def path(self) -> str:
        """Return the dotted name of the present node."""
        return _shortened(".".join(node.name for node in self.open if node.name is not None))

    def fail(self, problem: str, line: int) -> ParamsError:
        """Return the error for a problem in a line (1-based)."""
        return ParamsError(f"{self.file}: {problem} (line {line})")

    def start(self, event: NodeEvent) -> bool:
        """Check tag and depth of a node, and duplicates of a key; return whether it is a key."""
        line = event.start_mark.line + 1
        tag = getattr(event, "tag", None)  # an alias has none
        if tag is not None:
            raise self.fail(f"the tag {quote(str(tag))}; write plain values", line)
        if len(self.open) >= MAX_DEPTH:
            raise self.fail(f"nested deeper than {MAX_DEPTH} levels", line)
        parent = self.open[-1] if self.open else None
        if parent is None or parent.keys is None or parent.name is not None:
            return False
        if not isinstance(event, ScalarEvent):
            raise self.fail("a list, mapping or alias as a key; write a name", line)
        parent.name = event.value
        if event.value in parent.keys:
            raise ParamsError(
                f"{self.file}: {self.path()} stands twice, in lines {parent.keys[event.value]} and "
                f"{line}; keep one"
            )
        parent.keys[event.value] = line
        return True

    def end(
        self, size: int, depth: int, anchor: str | None, line: int, is_key: bool = False
    ) -> None:
        """Add a complete node to its parent; a value completes a key-value pair."""
        if anchor is not None:
            self.sizes[anchor] = size, depth
        if self.open:
            self.open[-1].size += size
            self.open[-1].depth = max(self.open[-1].depth, depth + 1)
            self.open[-1].name = self.open[-1].name if is_key else None
        if size > MAX_EXPANDED or (self.open and self.open[-1].size > MAX_EXPANDED):
            raise self.fail(f"aliases (*name) that expand to more than {MAX_EXPANDED} nodes", line)
        if len(self.open) + depth > MAX_DEPTH:
            raise self.fail(f"aliases (*name) that nest deeper than {MAX_DEPTH} levels", line)


def _check_structure(text: str, file: Path) -> None:
    """Check the structure event by event, within bounded memory and depth."""
    state = _Structure(file)
    events: Iterator[Event] = YAML(typ="safe", pure=True).parse(text)
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, DocumentStartEvent):
            state.documents += 1
            if state.documents > 1:
                raise state.fail("a second document starts (---); keep one", line)
        elif isinstance(event, CollectionEndEvent):
            ended = state.open.pop()
            state.end(ended.size, ended.depth, ended.anchor, line)
        elif isinstance(event, NodeEvent):
            is_key = state.start(event)
            if isinstance(event, AliasEvent):
                if event.anchor not in state.sizes:
                    problem = f"the alias *{_shortened(event.anchor)} stands before or inside its"
                    raise state.fail(f"{problem} anchor", line)
                state.end(*state.sizes[event.anchor], None, line)
            elif isinstance(event, ScalarEvent):
                state.end(1 + len(event.value), 0, event.anchor, line, is_key)
            else:
                is_mapping = isinstance(event, MappingStartEvent)
                state.open.append(_Open(event.anchor, {} if is_mapping else None))


def _check_keys(content: Any, file: Path, path: str = "") -> None:
    """Check that all keys are text; YAML also reads numbers, dates, booleans and null."""
    if isinstance(content, list):
        for item in content:
            _check_keys(item, file, path)
    elif isinstance(content, dict):
        for key, value in content.items():
            if not isinstance(key, str):
                where = f"{path}: " if path else ""
                raise ParamsError(f"{file}: {where}the key {quote(key)} is no text; keys are names")
            _check_keys(value, file, f"{path}.{key}"[:300].lstrip("."))


MAX_PROBLEMS = 10
MAX_KEY = 100


class Block(BaseModel):
    """A block of params.yaml; unknown keys are errors, and values are not converted.

    Without `strict`, pydantic would convert `true` to 1 and `'8'` to 8.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


BlockT = TypeVar("BlockT", bound=Block)

Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""Seed of random numbers, in the range of NumPy, torch and MLflow."""

BatchSize = Annotated[int, Field(gt=0, le=65_536)]
"""Images per forward pass."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise UserError("control characters are not allowed")
    return text


Text = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_printable)]
"""A path or an address in one line; 4096 is the longest path of Linux."""


def _names(names: list[str]) -> list[str]:
    for name in names:
        check_name(name)
    if len(set(names)) < len(names):
        raise UserError("names one twice; name each once")
    return names


Backbones = Annotated[list[str], Field(min_length=1, max_length=100), AfterValidator(_names)]
"""Names of backbones; cxr14.models.backbones checks them against torchvision."""


def read_block(name: str, block: type[BlockT], path: str | Path = "params.yaml") -> BlockT:
    """Read and check one block of params.yaml.

    Raises:
        ParamsError: the file or block is missing, or a key is unknown or out of range.
    """
    content = read_yaml(path)
    if name not in content:
        raise ParamsError(f"{path}: the block '{name}' is missing")
    return check_block(name, block, content[name], path)


def check_block(name: str, block: type[BlockT], values: Any, path: str | Path) -> BlockT:
    """Check the values of a block; see :func:`read_block`."""
    try:
        return block.model_validate(values)
    except ValidationError as error:
        problems = [
            f"{_key(name, problem)}{_value(problem)}: {_message(block, problem)}"
            f"{_limits(block, problem)}"
            for problem in sorted(error.errors(), key=_is_known_key)[:MAX_PROBLEMS]
        ]
        if error.error_count() > MAX_PROBLEMS:
            problems.append(f"and {error.error_count() - MAX_PROBLEMS} more")
        raise ParamsError(f"{path}: " + "; ".join(problems)) from None


def _is_known_key(problem: ErrorDetails) -> bool:
    """Sort unknown keys first: a misspelt key is also missing."""
    return problem["type"] != "extra_forbidden"


def _key(name: str, problem: ErrorDetails) -> str:
    """Return the dotted name of a key, each of its words cut to MAX_KEY characters."""
    words = (str(word) for word in (name, *problem["loc"]))
    return ".".join(w if len(w) <= MAX_KEY else f"{w[:MAX_KEY]}…" for w in words)


def _value(problem: ErrorDetails) -> str:
    """Return the wrong value; empty for a missing key, and if keys of a block disagree."""
    has_value = problem["loc"] and problem["type"] != "missing"
    return f" = {quote(problem['input'])}" if has_value else ""


def _message(block: type[Block], problem: ErrorDetails) -> str:
    """Return pydantic's message as the end of a sentence."""
    if problem["type"] == "missing":
        return "is missing"
    if problem["type"] == "extra_forbidden":
        # Of the block's own keys: those of a block within it are not known here.
        keys = block.model_fields if len(problem["loc"]) == 1 else ()
        return f"unknown key{did_you_mean(str(problem['loc'][-1]), keys)}"
    if problem["type"] == "value_error":
        return problem["msg"].removeprefix("Value error, ")
    return problem["msg"][0].lower() + problem["msg"][1:]


def did_you_mean(name: str, known: Iterable[str], path: str = "") -> str:
    """Return the known name nearest to an unknown one, as a question; empty if none is near."""
    near = get_close_matches(name, [*known], 1)
    return f"; did you mean {path}{near[0]}?" if near else ""


def _limits(block: type[Block], problem: ErrorDetails) -> str:
    """Return the allowed range of a number that is outside it, by the schema of its block."""
    if not problem["type"].startswith(("greater_than", "less_than")):
        return ""
    schema = block.model_json_schema()
    node: dict[str, Any] = schema
    for word in (None, *problem["loc"]):
        if isinstance(word, int):
            node = node.get("items", {})
        elif word is not None:
            node = node.get("properties", {}).get(word) or node.get("additionalProperties", {})
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    bounds = (
        ("minimum", "at least"), ("exclusiveMinimum", "above"),
        ("maximum", "at most"), ("exclusiveMaximum", "below"),
    )  # fmt: skip
    for choice in (node, *node.get("anyOf", ())):  # a number, or one of several kinds
        if allowed := [f"{word} {choice[key]}" for key, word in bounds if key in choice]:
            return f" (allowed: {' and '.join(allowed)})"
    return ""
