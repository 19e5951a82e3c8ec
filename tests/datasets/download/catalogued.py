"""Two archives and four small files, as NIH serves them, and a catalogue that lists them."""

import json

from cxr14.datasets.raw import BOX_TABLE, IMAGE_TABLE, LISTS
from cxr14.datasets.source import write_nih
from tests.datasets.pictures import some_pngs
from tests.datasets.tables.written import BOX_HEADER, HEADER

PNGS = some_pngs(6)
HALVES = {
    "images_001.tar.gz": dict(list(PNGS.items())[3:]),
    "images_002.tar.gz": dict(list(PNGS.items())[:3]),
}
TABLE = f"{HEADER}\n" + "".join(
    f"{name},Mass,0,{n},58,F,PA,1024,1024,0.1,0.1\n" for n, name in enumerate(PNGS, start=1)
)
SMALL = {
    IMAGE_TABLE: TABLE.encode(),
    BOX_TABLE: f"{BOX_HEADER}\n".encode(),
    LISTS[0]: "\n".join(list(PNGS)[:4]).encode(),
    LISTS[1]: "\n".join(list(PNGS)[4:]).encode(),
}
NOTHING_ODD = {
    "images_in_no_table": 0,
    "refused_members": 0,
    "repeated_images": 0,
    "images_of_same_content": 0,
    "images_of_other_extension": 0,
}


def write_catalogue(server, folder, names=None):
    """Write catalogue.json of these files of the server, or of all."""
    lines = [server.entry(name) for name in names or server.files]
    (folder / "catalogue.json").write_text(json.dumps(lines))


def bring(folder, mirror=None):
    """Bring what catalogue.json lists into tables/ and archives/; return the counts."""
    return write_nih(
        folder / "tables",
        folder / "archives",
        folder / "kept",
        mirror,
        3,
        folder / "catalogue.json",
    )
