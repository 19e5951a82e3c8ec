"""The only reader of params.yaml. Each block has a module of its own beside this one.

A stage imports the modules of its own blocks only, so a key added to another block neither
reruns it nor fails it.
"""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from cxr14.errors import UserError


class Block(BaseModel):
    """A block of params.yaml: unknown keys are refused, values are checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


BlockT = TypeVar("BlockT", bound=Block)


class ParamsError(UserError):
    """params.yaml holds something that cannot work; the message names the key."""


def read_block(name: str, block: type[BlockT], path: str | Path = "params.yaml") -> BlockT:
    """Read and check one block of params.yaml.

    Raises:
        ParamsError: the file or block is missing, or a key is unknown or out of range.
    """
    file = Path(path)
    if not file.exists():
        raise ParamsError(f"{file} does not exist here; run from the root of the repository")
    try:
        content = yaml.safe_load(file.read_text()) or {}
    except yaml.YAMLError as error:
        raise ParamsError(f"{file} is no YAML: {' '.join(str(error).split())}") from None
    if name not in content:
        raise ParamsError(f"{file}: the block '{name}' is missing")
    return check_block(name, block, content[name], file)


def check_block(name: str, block: type[BlockT], values: Any, path: str | Path) -> BlockT:
    """Check the values of a block; see :func:`read_block`."""
    try:
        return block.model_validate(values)
    except ValidationError as error:
        problems = [
            f"{'.'.join([name, *map(str, problem['loc'])])}{_value(problem)}: {_told(problem)}"
            for problem in error.errors()
        ]
        raise ParamsError(f"{path}: " + "; ".join(problems)) from None


def _value(problem: ErrorDetails) -> str:
    """Show the wrong value, but not a whole block if what is wrong is how its keys go together."""
    return f" = {problem['input']!r}" if problem["loc"] else ""


def _told(problem: ErrorDetails) -> str:
    """Make pydantic's sentence the end of ours; one of our own validators' is that already."""
    if problem["type"] == "extra_forbidden":
        return "unknown key"
    if problem["type"] == "value_error":
        return problem["msg"].removeprefix("Value error, ")
    return problem["msg"][0].lower() + problem["msg"][1:]
