"""What a user can mend, and so is told in one sentence; anything else shows where it came from."""

from pathlib import Path
from traceback import extract_tb

OURS = (Path(__file__).resolve().parent, Path(__file__).resolve().parents[2] / "stages")


def mendable(error: BaseException) -> bool:
    """Whether an error says what to do about it.

    That is a file that is not there, and a ValueError that a `raise` of ours made. The same type
    comes out of NumPy, pandas, torch and `zip(strict=True)` for what are mistakes of ours; their
    sentence without the place it came from would be no help.
    """
    if isinstance(error, FileNotFoundError):
        return True
    frames = extract_tb(error.__traceback__)
    if not isinstance(error, ValueError) or not frames:
        return False
    file, line = Path(frames[-1].filename).resolve(), frames[-1].line or ""
    return line.startswith("raise") and any(file.is_relative_to(folder) for folder in OURS)
