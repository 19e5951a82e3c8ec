"""Turn the tables into records, and put every patient into train, val or test.

The official lists decide where the source brings them (`split.official`); what they leave open is
cut by patient and stratified by finding. Patients with boxes are always in test.

Reads:  data/raw/tables, params.yaml (split)

Writes: data/records (images.parquet, boxes.parquet, source.json), data/split/split.parquet,
data/oddities.csv (every odd row of the tables and what was made of it), metrics/patient_split.json
"""

from pathlib import Path

import typer

from cxr14.data.raw import LISTS, TABLES, read_facts, read_manifest
from cxr14.data.split import count_parts, official_parts, split_patients
from cxr14.data.tables import oddities
from cxr14.data.tables.records import read_tables
from cxr14.errors import UserError
from cxr14.files import write_csv, write_json, write_metrics, write_parquet
from cxr14.params import split as split_params
from stages import run

RECORDS = Path("data/records")


def main() -> None:
    """Write records and split."""
    params = split_params.read()
    brought = all((TABLES / name).exists() for name in LISTS)
    if params.official is True and not brought:
        raise UserError(f"split.official is true, but the source brings no {' and '.join(LISTS)}")
    use_lists = brought and params.official is not False
    tables = read_tables(TABLES, use_lists)
    images, boxes, *lists = (table.frame for table in tables.values())
    images["has_pixels"] = images.image.isin(read_manifest().image)
    official = official_parts(images, *(own.image.tolist() for own in lists)) if lists else None
    split = split_patients(
        images, set(boxes.image), official, params.test_fraction, params.val_fraction, params.seed
    )
    counts = count_parts(images, split)
    facts = read_facts()
    source = {name: facts[name] for name in ("source", "phantom")} | {"official_split": use_lists}
    write_parquet(RECORDS / "images.parquet", images)
    write_parquet(RECORDS / "boxes.parquet", boxes)
    write_json(RECORDS / "source.json", source)
    write_parquet("data/split/split.parquet", split)
    flags = {"official_split": int(use_lists), "phantom": int(source["phantom"])}
    read = {"tables": {name: table.counts() for name, table in tables.items()}}
    write_metrics("metrics/patient_split.json", {**counts, **flags, **read})
    write_csv("data/oddities.csv", oddities.listing(tables))
    for line in oddities.summary(tables):
        typer.echo(line)
    for part, own in counts["with_pixels"].items():
        typer.echo(f"{part}: {counts['all'][part]['images']} records, {own['images']} with pixels")


if __name__ == "__main__":
    run(main, __doc__)
