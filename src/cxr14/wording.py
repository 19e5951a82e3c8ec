"""How scores, and the caution about phantoms, are written: the same wherever they appear."""

from math import isnan

PHANTOM_NOTE = "phantom radiographs: says nothing about patients"
NOT_TRAINED = "not trained"


def shown(value: float | None, digits: int = 3) -> str:
    """Write a score ≥ 0 without its leading zero, as the literature prints it; – for null."""
    return "–" if value is None else f"{value:.{digits}f}".removeprefix("0")


def signed(value: float | None) -> str:
    """Write a difference with its sign, unless it rounds to 0; – for null and NaN."""
    if value is None or isnan(value):
        return "–"
    size = shown(abs(value))
    return size if size == ".000" else ("−" if value < 0 else "+") + size


def star(low: float, high: float) -> str:
    """Mark an interval of a difference that leaves 0 out; nothing for one that holds it."""
    return " *" if low > 0 or high < 0 else ""


def counted(images: int | None) -> str:
    """Write how many images show a finding; null says that the network does not know it."""
    return NOT_TRAINED if images is None else str(images)
