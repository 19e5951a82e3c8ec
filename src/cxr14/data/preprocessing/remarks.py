"""What may be said of an image that is used: one list for the issues table, metrics and serving."""

REMARKS: dict[str, tuple[str, str]] = {
    "jpeg": ("kept", "a JPEG file"),
    "interlaced": ("kept", "stored in seven passes"),
    "wrong_extension": ("kept", "the content is of another format than the file name says"),
    "padded": ("changed", "not square; black margins were added"),
    "rotated_by_exif": ("changed", "turned or mirrored as its orientation metadata says"),
    "transparent": ("changed", "has transparent pixels; the transparency was dropped"),
    "colour": ("changed", "has colour; its luma was taken"),
    "cmyk": ("changed", "a CMYK file; converted by way of RGB to its luma"),
    "more_frames": ("changed", "holds more than one picture; only the first was taken"),
    "low_bit_depth": ("kept", "less than 8 bits per pixel, so at most 16 grey levels"),
    "unused_bits": ("kept", "16 bits per pixel whose upper ones are unused, so it is dark"),
    "trailing_data": ("kept", "data follows the end of the image"),
    "inverted": ("kept", "looks like a negative"),
    "faint": ("kept", "hardly any contrast"),
}
"""By name: the action of the issues table, and a sentence on what was found and done."""
