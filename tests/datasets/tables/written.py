"""Small tables in NIH's forms, written for tests and read back."""

from cxr14.datasets.boxes import read_box_table
from cxr14.datasets.image_table import read_boxes, read_image_table

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
V2020 = [
    "00000002_000.png,No Finding,0,2,80,M,PA,2500,2048,0.171,0.172",
    "00000001_001.png,Cardiomegaly|Emphysema,1,1,58,F,AP,2894,2729,0.143,0.143",
]
FORM_2017 = [
    "00000002_000.png,No Finding,0,2,080Y,M,PA,2500,2048,0.171,0.172,",
    "00000001_001.png,Cardiomegaly|Emphysema,1,1,058Y,F,AP,2894,2729,0.143,0.143,",
]


def write(path, header, rows):
    """Write a table; return where it is."""
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def image_row(
    name="00000009_000.png", labels="Mass", patient=9, age="58", sex="F", view="PA", end=""
):
    """A row of a table of images, all its cells good."""
    return f"{name},{labels},0,{patient},{age},{sex},{view},1024,1024,0.1,0.1{end}"


def image_table(tmp_path, *rows, header=HEADER):
    """Write a table of images and read it: its frame, and what was odd in it."""
    return read_image_table(write(tmp_path / "table.csv", header, rows))


def images(tmp_path, *rows, header=HEADER):
    """Write a table of images and read its frame."""
    return image_table(tmp_path, *rows, header=header).frame


def box_table(tmp_path, *rows, images=None, header=BOX_HEADER, **how):
    """Write a list of boxes and read it, beside a frame of images if one is given."""
    return read_box_table(write(tmp_path / "boxes.csv", header, rows), images, **how)


def boxes(tmp_path, *rows):
    """Write a list of boxes and read its frame."""
    return read_boxes(write(tmp_path / "boxes.csv", BOX_HEADER, rows))


def met(table):
    """The issues by rule, without the rules that have none."""
    return {rule: values.to_dict() for rule, values in table.issues.items() if len(values)}
