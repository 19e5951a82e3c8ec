"""Convert the tables to records, and assign every patient to train, val or test.

The official lists define test if the source has them (`split.official`). All other splits are by
patient, stratified by finding; patients with boxes are in test.

Phantoms have boxes and masks of every image; those of test are kept, the others left out.

Your own boxes in another unit than NIH's (`data.boxes`) are converted to pixels of its 1024 grid.

Reads:  data/raw/tables, params.yaml (split, data.boxes); data/raw/archives or data.folder, if the
unit of your own boxes depends on the sizes of the files

Writes: data/records (images.parquet, boxes.parquet, masks.parquet, source.json),
data/split/split.parquet, data/table_issues.csv (every data issue of the tables),
metrics/patient_split.json
"""

from functools import partial
from pathlib import Path

import pandas as pd
import typer

from cxr14.config.blocks import read_data, read_split
from cxr14.datasets.boxes import boxed_images
from cxr14.datasets.image_sources import file_sizes
from cxr14.datasets.image_table import read_boxes, read_tables
from cxr14.datasets.issues import TABLE_ISSUES, issue_rows, issue_table, summarize, write_issues
from cxr14.datasets.raw import (
    BOX_TABLE,
    IMAGE_TABLE,
    LISTS,
    MASK_TABLE,
    TABLES,
    images_base,
    read_facts,
    read_manifest,
)
from cxr14.datasets.records import SPLIT, Source, write_source
from cxr14.datasets.split import count_splits, official_split, split_patients, unscorable
from cxr14.errors import UserError
from cxr14.io import packaged_file, write_metrics, write_parquet
from cxr14.masks import MASKS, masks_of, write_masks
from stages import run

RECORDS = Path("data/records")
NIH_BOXES = f"torchxrayvision/data/{BOX_TABLE}.gz"


def write_records(
    images: pd.DataFrame, boxes: pd.DataFrame, source: Source, split: pd.DataFrame
) -> None:
    """Write the records and the split; of phantoms' boxes and masks those of test."""
    tested = split.image[split.split == "test"]
    if source.phantom:
        boxes = boxes[boxes.image.isin(tested)]
    write_parquet(RECORDS / "images.parquet", images)
    write_parquet(RECORDS / "boxes.parquet", boxes)
    write_masks(MASKS, masks_of(tested, TABLES / MASK_TABLE))
    write_source(source)
    write_parquet(SPLIT, split)


def main() -> None:
    """Write records and split."""
    params, facts = read_split(), read_facts()
    has_lists = all((TABLES / name).exists() for name in LISTS)
    if params.official is True and not has_lists:
        raise UserError(f"split.official is true, but the source lacks {' and '.join(LISTS)}")
    use_lists = has_lists and params.official is not False
    manifest = read_manifest()
    origins: dict[str, str | None] = facts.get("table_files", {})
    tables = read_tables(
        TABLES,
        use_lists,
        origins,
        box_unit="nih" if facts["phantom"] else read_data().boxes,
        file_sizes=partial(file_sizes, manifest, images_base(facts["base"])),
        nih_boxes=read_boxes(packaged_file("torchxrayvision", NIH_BOXES)),
    )
    images, boxes, *lists = (table.frame for table in tables.values())
    images["has_pixels"] = images.image.isin(manifest.image.tolist())
    official = None
    if lists:
        names = " and ".join(tables[Path(name).stem].file for name in LISTS)
        train_val, test = (table.image.tolist() for table in lists)
        official = official_split(images, train_val, test, names)
    # Every phantom has boxes, so they do not decide who is in test.
    boxed = set() if facts["phantom"] else boxed_images(tables["boxes"])
    split = split_patients(
        images,
        boxed,
        official,
        params.test_fraction,
        params.val_fraction,
        params.seed,
    )
    counts = count_splits(images, split)
    source = Source(facts["source"], facts["phantom"], use_lists)
    write_records(images, boxes, source, split)
    substitutes = {"packaged_table": IMAGE_TABLE, "packaged_boxes": BOX_TABLE}
    flags = source.flags | {
        flag: int(not origins.get(table)) for flag, table in substitutes.items()
    }
    flags["own_split"] = int(not use_lists)
    read = {"tables": {name: table.counts() for name, table in tables.items()}}
    write_metrics("metrics/patient_split.json", {**counts, **flags, **read})
    issues = issue_table("patient-split", issue_rows(tables))
    write_issues(TABLE_ISSUES, issues)
    for line in summarize(issues, TABLE_ISSUES):
        typer.echo(line)
    typer.echo(f"boxes: {tables['boxes'].note}")
    if problem := unscorable(images, split.split):
        typer.secho(f"warning: {problem}", fg="yellow", err=True)
    for name, split_counts in counts["with_pixels"].items():
        typer.echo(
            f"{name}: {counts['all'][name]['images']} records, {split_counts['images']} with pixels"
        )


if __name__ == "__main__":
    run(main, __doc__)
