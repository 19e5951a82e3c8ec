"""Two small external sets of noise: a table with a mapping, and a folder in NIH's form."""

from pathlib import Path

import yaml

from cxr14.datasets.raw import IMAGE_TABLE
from tests.datasets.pictures import encode, noise, write_loose
from tests.datasets.tables.written import HEADER, image_row, write

CITY = {"source": "csv", "folder": "city", "table": "city/city.csv", "mapping": "city/city.yaml"}
TOWN = {"source": "folder", "folder": "town"}


def write_nih_form(folder: Path, first: int, count: int) -> None:
    """Images of noise with a table in NIH's form, a patient each."""
    names = [f"{n:08d}_000.png" for n in range(first, first + count)]
    write_loose(folder, {name: encode(noise(int(name[:8]))) for name in names})
    labels = ("Mass", "Nodule|Mass", "No Finding", "Edema")
    rows = [image_row(name, labels[n % 4], int(name[:8])) for n, name in enumerate(names)]
    write(folder / IMAGE_TABLE, HEADER, rows)


def write_csv_form(folder: Path, count: int) -> None:
    """Images of noise with a table in words of its own; Nodule is not labelled."""
    names = [f"scan{n}.png" for n in range(count)]
    write_loose(folder, {name: encode(noise(1000 + n)) for n, name in enumerate(names)})
    rows = [f"{name},p{n // 2},{(1, 0, -1)[n % 3]},{n % 2}" for n, name in enumerate(names)]
    (folder / "city.csv").write_text("\n".join(["file,who,lump,water", *rows]) + "\n")
    values = {"1": "positive", "0": "negative", "-1": "uncertain"}
    mapping = {
        "columns": {"image": "file", "patient": "who"},
        "labels": {"values": values},
        "findings": {"Mass": ["lump"], "Effusion": ["water"]},
    }
    (folder / "city.yaml").write_text(yaml.safe_dump(mapping))
