"""NIH's packaged boxes in coordinates of the lungs, for benchmarks that render phantoms."""

from cxr14.datasets.image_table import read_boxes
from cxr14.io import packaged_file
from cxr14.phantoms.lung_boxes import LungBox, to_lung_boxes

BOXES = "torchxrayvision/data/BBox_List_2017.csv.gz"


def packaged_lung_boxes() -> dict[str, tuple[LungBox, ...]]:
    """Return the boxes of the packaged table by finding, in coordinates of the lungs."""
    return to_lung_boxes(read_boxes(packaged_file("torchxrayvision", BOXES)))
