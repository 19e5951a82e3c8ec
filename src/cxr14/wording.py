"""How scores, and the caution about phantoms, are written: the same wherever they appear."""

PHANTOM_NOTE = "phantom radiographs: says nothing about patients"
NOT_TRAINED = "not trained"


def shown(value: float | None, digits: int = 3) -> str:
    """Write a score ≥ 0 without its leading zero, as the literature prints it; – for null."""
    return "–" if value is None else f"{value:.{digits}f}".removeprefix("0")


def counted(images: int | None) -> str:
    """Write how many images show a finding; null says that the network does not know it."""
    return NOT_TRAINED if images is None else str(images)
