"""The names and first lines by which a file is taken for a table or list of the set."""

import re
import unicodedata

from cxr14.data.raw import BOX_TABLE, IMAGE_TABLE, LISTS

NAMES = {  # how each table may be called, best first; those of a later tier if no other is found
    IMAGE_TABLE: ((IMAGE_TABLE, "Data_Entry_2017.csv"), ("sample_labels.csv",)),
    BOX_TABLE: ((BOX_TABLE, "BBox_List.csv"),),
    LISTS[0]: ((LISTS[0],),),
    LISTS[1]: ((LISTS[1],),),
}
TIER = 10

TEXT_SUFFIXES = (".csv", ".txt", ".tsv", ".tab")
SHEET_SUFFIXES = (
    *(".xlsx", ".xls", ".ods"),
    *(f"{text}{packed}" for text in TEXT_SUFFIXES for packed in (".gz", ".bz2", ".xz", ".zst")),
)
"""Tables that are not read; a file of such a name is reported."""

FORMALITIES = re.compile(
    r"(^(copy|kopie|copie|copia) (of|von|de) )"
    r"|([ (]+(another |\d+(st|nd|rd|th) )?(copy|kopie|copie|copia|nih|official)( \d+)?[ )]*$)"
    r"|( *\(\d+\)$)"
)
"""Parts of a name, in lower case and with spaces for - and _, that say nothing of its content."""

CONTENT = re.compile(
    r"\d{8}_\d{3}|\w\.(png|jpe?g)\s*([\"',;\t\r\n]|$)|image.?index|finding.?label|patient.?id|bbox",
    re.IGNORECASE,
)
"""What a table or list of images has in its first lines."""


def may_be_table(path: str) -> bool:
    """Tell whether a file is a text or sheet by its suffix, or has a table's name without one."""
    name = path.rpartition("/")[2]  # pathlib keeps every name it has met
    if name.startswith("."):
        return False
    bare = "." not in name and recognize(name)[0] is not None
    return bare or name.lower().endswith(TEXT_SUFFIXES + SHEET_SUFFIXES)


def is_sheet(path: str) -> bool:
    """Tell by its suffix whether a file is a table in a format that is not read."""
    return path.lower().endswith(SHEET_SUFFIXES)


def holds_table(start: bytes) -> bool:
    """Tell whether the first bytes of a text, of any encoding, are those of a table or list."""
    text = start.replace(b"\0", b"").decode("latin-1")  # well enough to find Latin letters in it
    return CONTENT.search(text) is not None


def recognize(name: str) -> tuple[str | None, int]:
    """Return the table that a file's name stands for, or None, and the rank of the name."""
    name = name.rpartition("/")[2]
    plain = _plain(name)
    for table, tiers in NAMES.items():
        for tier, names in enumerate(tiers):
            if name in names:
                return table, tier * TIER + names.index(name)
            similar = [known for known in names if _plain(known) == plain]
            if similar:
                return table, tier * TIER + len(names) + names.index(similar[0])
    return None, 0


def _plain(name: str) -> str | None:
    """Return a name without suffixes, case and formalities; None if it is no name of a text."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    if plain.endswith(SHEET_SUFFIXES):
        return None
    while plain.endswith(TEXT_SUFFIXES):
        plain = plain.rpartition(".")[0]
    plain = re.sub(r"[\s_\-–.]+", " ", plain).strip()
    while (shorter := FORMALITIES.sub("", plain).strip()) != plain:
        plain = shorter
    return plain
