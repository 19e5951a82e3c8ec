"""How scores, and the caution about phantoms, are written: the same wherever they appear."""

PHANTOM_NOTE = "phantom radiographs: says nothing about patients"


def shown(value: float | None, digits: int = 3) -> str:
    """Write a score ≥ 0 without its leading zero, as the literature prints it; – for null."""
    return "–" if value is None else f"{value:.{digits}f}".removeprefix("0")
