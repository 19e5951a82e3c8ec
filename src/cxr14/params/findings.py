"""The key `data.findings`: what networks are trained on.

A module of its own, so that a change to the rest of the block `data` does not retrain.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict

from cxr14.errors import UserError
from cxr14.findings import CLASSES, canonical, without_no_finding
from cxr14.params._read import Block, read_block


def classes_of(value: Any) -> tuple[str, ...]:
    """Return the classes that the key asks for, in the order of CLASSES.

    Args:
        value: `all` (the fourteen findings and No Finding), or a list of them, in any order and
            known spelling.

    Raises:
        UserError: a name is unknown or stands twice, or no finding is named.
    """
    if value == "all":
        return CLASSES
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise UserError(f"allowed: all, or a list of {', '.join(CLASSES)}")
    named = [canonical(name) for name in value]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise UserError(f"{', '.join(twice)} stands twice; name each class once")
    if not without_no_finding(named):
        raise UserError("no finding is named; name at least one, or write all")
    return tuple(name for name in CLASSES if name in named)


def _checked(value: Any) -> Any:
    classes_of(value)
    return value


Findings = Annotated[Any, AfterValidator(_checked)]
"""The key as it was written, once it is known to be right."""


class FindingsParams(Block):
    """The one key; those beside it are the business of cxr14.params.data."""

    model_config = ConfigDict(extra="ignore")

    findings: Findings


def read() -> tuple[str, ...]:
    """Read `data.findings` of params.yaml as classes in the order of CLASSES."""
    return classes_of(read_block("data", FindingsParams).findings)
