"""How the metadata of a picture says it is viewed: the EXIF orientation, in PNG and JPEG."""

import warnings

from PIL import Image

FORMATS = ("PNG", "JPEG")
"""What is read, by content."""

TURNED = (5, 6, 7, 8)
"""Orientations that exchange width and height."""

_TAG = 0x0112


def orientation(file: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if there is none or it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = file.getexif().get(_TAG, 1)
    except MemoryError:
        raise
    except Exception:  # Pillow's reader raises errors of many types; viewers pass over it too
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
