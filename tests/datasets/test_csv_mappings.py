"""The ready mappings on the published tables that the torchxrayvision package holds."""

import ast
import gzip
import io
from collections import Counter
from itertools import islice
from pathlib import Path
from zipfile import ZipFile

import pandas as pd
import pytest

from cxr14.config.mapping import mapping_path, read_mapping, ready_mappings
from cxr14.datasets.csv_table import CsvTables, Uncertain, read_csv_tables
from cxr14.datasets.raw import BOX_TABLE, IMAGE_TABLE
from cxr14.io import packaged_file
from cxr14.labels import CLASSES, FINDINGS
from tests.conftest import ROOT

DATA = "torchxrayvision/data"
ROWS = 10_000
"""Lines of the largest tables that are read; they have 220,000 and 170,000."""


def packaged(name: str) -> Path:
    return packaged_file("torchxrayvision", f"{DATA}/{name}")


def beginning(name: str, folder: Path) -> Path:
    """The first lines of a packed table."""
    with gzip.open(packaged(name), "rt", encoding="utf-8", newline="") as packed:
        (folder / "table.csv").write_text("".join(islice(packed, ROWS)), newline="")
    return folder / "table.csv"


def convert(path: Path, mapping: str, uncertain: Uncertain = "zeros") -> CsvTables:
    return read_csv_tables(path, path.name, read_mapping(mapping_path(mapping, Path())), uncertain)


def table_of(converted: CsvTables, name: str = IMAGE_TABLE) -> pd.DataFrame:
    table = pd.read_csv(io.BytesIO(converted.contents[name]), dtype=str, keep_default_na=False)
    assert len(table) == len(converted.files) or name == BOX_TABLE
    return table


def positives(converted: CsvTables) -> Counter[str]:
    texts = table_of(converted)["Finding Labels"].value_counts()
    return Counter(
        {
            name: int(sum(n for text, n in texts.items() if name in str(text).split("|")))
            for name in (*converted.classes, *(f"{name}?" for name in converted.classes))
        }
    )


@pytest.fixture(scope="module")
def chexpert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return beginning("chexpert_train.csv.gz", tmp_path_factory.mktemp("chexpert"))


CHEXPERT = {"Effusion": "Pleural Effusion", "No Finding": "No Finding"} | {
    name: name
    for name in FINDINGS
    if name
    in ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pneumonia", "Pneumothorax")
}


@pytest.mark.parametrize("uncertain", ["zeros", "ones", "ignore"])
def test_chexpert_counts_positive_and_uncertain_labels(
    chexpert: Path, uncertain: Uncertain
) -> None:
    raw = pd.read_csv(chexpert)
    frontal = raw[raw["Frontal/Lateral"] == "Frontal"]
    converted = convert(chexpert, "chexpert", uncertain)
    counted = positives(converted)
    assert len(converted.files) == len(frontal)
    assert set(converted.classes) == set(CHEXPERT)
    for name, column in CHEXPERT.items():
        sure, unsure = (frontal[column] == 1).sum(), (frontal[column] == -1).sum()
        assert counted[name] == sure + (unsure if uncertain == "ones" else 0)
        assert counted[f"{name}?"] == (unsure if uncertain == "ignore" else 0)
    table = table_of(converted)
    assert table["Patient ID"].nunique() == frontal.Path.str.extract("(patient[0-9]+)")[0].nunique()
    assert Counter(table["Patient Gender"]) == {
        "M": (frontal.Sex == "Male").sum(),
        "F": (frontal.Sex == "Female").sum(),
    }
    unread = [issue.detail for issue in converted.issues if issue.issue.startswith("view")]
    assert len(unread) == (~frontal["AP/PA"].isin(["AP", "PA"])).sum()
    assert table["Image Index"][0] == (
        "CheXpert-v1.0-small_train_patient00001_study1_view1_frontal.png"
    )


def test_padchest_reads_lists_of_labels_and_leaves_laterals_out(tmp_path: Path) -> None:
    path = beginning("PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz", tmp_path)
    raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    raw = raw[raw.Projection.isin(["PA", "AP", "AP_horizontal"])]
    raw = raw[raw.Labels.str.startswith("[")]
    labels = [{label.strip() for label in ast.literal_eval(text)} - {""} for text in raw.Labels]
    skipped = {"exclude", "suboptimal study", "unchanged"}
    labels = [names for names in labels if names and not names & skipped]
    converted = convert(path, "padchest")
    counted = positives(converted)
    assert len(converted.files) == len(labels)
    assert counted["Hernia"] == sum("hiatal hernia" in names for names in labels)
    assert counted["Fibrosis"] == sum("pulmonary fibrosis" in names for names in labels)
    both = {"pneumothorax", "hydropneumothorax"}
    assert counted["Pneumothorax"] == sum(bool(both & names) for names in labels)
    # `normal` beside a finding is not No Finding.
    odd = sum(issue.issue == "No Finding and a finding" for issue in converted.issues)
    assert counted["No Finding"] == sum("normal" in names for names in labels) - odd
    table = table_of(converted)
    assert set(table["View Position"]) == {"PA", "AP"}
    assert set(table["Patient Age"]) == {"unknown"}


def test_vindr_takes_the_majority_of_three_readers() -> None:
    path = packaged("vinbigdata-train.csv.gz")
    converted, raw = convert(path, "vindr-cxr"), pd.read_csv(path)
    counted = positives(converted)
    votes = raw.groupby(["class_name", "image_id"]).rad_id.nunique()
    assert len(converted.files) == raw.image_id.nunique() == 15_000
    for name, label in {"Effusion": "Pleural effusion", "No Finding": "No finding"}.items():
        assert counted[name] == (votes[label] >= 2).sum()
    assert "Nodule" not in converted.classes  # VinDr has Nodule/Mass
    boxes = table_of(converted, BOX_TABLE)
    agreed = votes["Cardiomegaly"]
    drawn = raw[raw.class_name == "Cardiomegaly"]
    drawn = drawn[drawn.image_id.isin(agreed.index[agreed >= 2])]
    ours = boxes[boxes["Finding Label"] == "Cardiomegaly"]
    assert len(ours) == len(drawn)
    widths = (drawn.x_max - drawn.x_min).tolist()
    assert ours.w.astype(float).tolist() == pytest.approx(widths)


def test_rsna_has_a_row_per_box(tmp_path: Path) -> None:
    with ZipFile(packaged("kaggle_stage_2_train_labels.csv.zip")) as archive:
        path = Path(archive.extract("stage_2_train_labels.csv", tmp_path))
    converted = convert(path, "rsna-pneumonia")
    counted = positives(converted)
    assert len(converted.files) == 26_684
    assert counted["Pneumonia"] == 6_012
    assert len(table_of(converted, BOX_TABLE)) == 9_555
    assert converted.classes == ("Pneumonia",)


def unordered(row: str) -> tuple[str, set[str], str]:
    """A row of NIH's table, without an order of its labels."""
    image, labels, rest = row.split(",", 2)
    return image, set(labels.split("|")), rest


def test_nih_keeps_every_cell_and_every_box(table_files: tuple[Path, Path], tmp_path: Path) -> None:
    images, boxes = (path.read_text().splitlines() for path in table_files)
    (tmp_path / "images.csv").write_text("\n".join(images[:ROWS]))
    (tmp_path / "boxes.csv").write_text("\n".join(boxes))
    mapping = read_mapping(mapping_path("nih", tmp_path))
    given = (tmp_path / "boxes.csv", "boxes.csv")
    converted = read_csv_tables(tmp_path / "images.csv", "images.csv", mapping, "zeros", given)
    written = converted.contents[IMAGE_TABLE].decode().splitlines()[1:]
    assert [*map(unordered, written)] == [*map(unordered, images[1:ROWS])]
    names = {line.partition(",")[0] for line in images[1:ROWS]}
    kept = [line for line in boxes[1:] if line.partition(",")[0] in names]
    converted_boxes = converted.contents[BOX_TABLE].decode().splitlines()[1:]
    assert [line.split(",")[0] for line in converted_boxes] == [line.split(",")[0] for line in kept]
    assert {issue.issue for issue in converted.issues} == {"box of no image"}


def test_kaggles_sample_and_the_form_of_2017_have_ages_with_units(tmp_path: Path) -> None:
    heading = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
    )
    row = "00000013_005.png,Emphysema|Infiltration,5,13,060Y,M,AP,3056,2544,0.139,0.139"
    forms = {
        "kaggle-sample": "OriginalImageWidth,OriginalImageHeight,OriginalImagePixelSpacing_x,"
        "OriginalImagePixelSpacing_y",
        "nih": "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],",
    }
    for mapping, end in forms.items():
        (tmp_path / "t.csv").write_text(f"{heading},{end}\n{row},\n".replace(",\n", "\n", 1))
        converted = convert(tmp_path / "t.csv", mapping)
        # The labels are in the order of the classes.
        written = converted.contents[IMAGE_TABLE].decode().splitlines()[1]
        assert written == row.replace("Emphysema|Infiltration", "Infiltration|Emphysema")


def test_mimic_builds_paths_and_reads_three_joined_tables(tmp_path: Path) -> None:
    metadata = pd.DataFrame(
        {"dicom_id": ["d1", "d2", "d3"], "subject_id": [10000032, 10000032, 19999987]}
        | {"study_id": [50414267, 50414267, 58621812], "ViewPosition": ["PA", "LATERAL", "AP"]}
    )
    chexpert = pd.DataFrame(
        {"subject_id": [10000032, 19999987], "study_id": [50414267, 58621812]}
        | {name: [None, -1.0] for name in set(CHEXPERT.values()) - {"No Finding"}}
        | {"No Finding": [1.0, None]}
    )
    split = metadata[["dicom_id", "subject_id", "study_id"]].assign(split="validate")
    table = metadata.merge(chexpert).merge(split)
    table.to_csv(tmp_path / "mimic.csv", index=False)
    converted = convert(tmp_path / "mimic.csv", "mimic-cxr", "ignore")
    assert converted.files == {
        "d1.png": "files/p10/p10000032/s50414267/d1",
        "d3.png": "files/p19/p19999987/s58621812/d3",
    }
    counted = positives(converted)
    assert counted["No Finding"] == counted["Edema?"] == counted["Effusion?"] == 1
    assert converted.contents["train_val_list.txt"] == b"d1.png\nd3.png\n"


def test_the_page_lists_the_labels_of_every_ready_mapping() -> None:
    page = (ROOT / "docs/howto/own-table.md").read_text()
    table = page.split("<!-- begin: mappings -->")[1].split("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n")]
    heading, *body = [row for row in rows if len(row) > 1 and row[0] != "---"]
    assert [row[0] for row in body] == list(CLASSES)
    listed = set()
    for column, names in enumerate(heading[1:], start=1):
        for mapping in names.replace("`", "").split(", "):
            listed.add(mapping)
            findings = read_mapping(mapping_path(mapping, Path())).findings
            for row in body:
                assert row[column] == ", ".join(findings.get(row[0], ["–"])), (mapping, row[0])
    assert listed | {"nih", "kaggle-sample"} == set(ready_mappings())
