"""The only reader of params.yaml. Each block has a module of its own beside this one.

A stage imports the modules of its own blocks only, so a key added to another block neither
reruns it nor fails it. The stage `check-params` reads all of them.
"""

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from cxr14.errors import UserError, quote
from cxr14.names import check_name
from cxr14.params._yaml import ParamsError, read_yaml

__all__ = ["Backbones", "BatchSize", "Block", "ParamsError", "Seed", "Text", "check_block",
           "read_block"]  # fmt: skip

MAX_PROBLEMS = 10
MAX_KEY = 100


class Block(BaseModel):
    """A block of params.yaml: unknown keys are refused, values are checked, nothing is converted.

    Without `strict`, pydantic would take `true` for 1 and `'8'` for 8.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


BlockT = TypeVar("BlockT", bound=Block)

Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""Of random numbers: what NumPy, torch and a column of MLflow can hold."""

BatchSize = Annotated[int, Field(gt=0, le=65_536)]
"""Images per forward pass."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise UserError("control characters are not allowed")
    return text


Text = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_printable)]
"""A path or an address: in one line, 4096 being the longest path of Linux."""


def _names(names: list[str]) -> list[str]:
    for name in names:
        check_name(name)
    if len(set(names)) < len(names):
        raise UserError("names one twice; name each once")
    return names


Backbones = Annotated[list[str], Field(min_length=1, max_length=100), AfterValidator(_names)]
"""Names of backbones; whether torchvision knows them is checked with the network at hand."""


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
            f"{_key(name, problem)}{_value(problem)}: {_told(problem)}{_limits(block, problem)}"
            for problem in error.errors()[:MAX_PROBLEMS]
        ]
        if error.error_count() > MAX_PROBLEMS:
            problems.append(f"and {error.error_count() - MAX_PROBLEMS} more")
        raise ParamsError(f"{path}: " + "; ".join(problems)) from None


def _key(name: str, problem: ErrorDetails) -> str:
    """Return the dotted name of a key, each of its words cut to MAX_KEY characters."""
    words = (str(word) for word in (name, *problem["loc"]))
    return ".".join(w if len(w) <= MAX_KEY else f"{w[:MAX_KEY]}…" for w in words)


def _value(problem: ErrorDetails) -> str:
    """Show the wrong value, but not a whole block if what is wrong is how its keys go together."""
    return f" = {quote(problem['input'])}" if problem["loc"] else ""


def _told(problem: ErrorDetails) -> str:
    """Make pydantic's sentence the end of ours; one of our own validators' is that already."""
    if problem["type"] == "extra_forbidden":
        return "unknown key"
    if problem["type"] == "value_error":
        return problem["msg"].removeprefix("Value error, ")
    return problem["msg"][0].lower() + problem["msg"][1:]


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
    allowed = [f"{word} {node[key]}" for key, word in bounds if key in node]
    return f" (allowed: {' and '.join(allowed)})" if allowed else ""
