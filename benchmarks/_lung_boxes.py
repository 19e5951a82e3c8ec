"""Places of the findings in NIH's real boxes, for benchmarks that draw phantoms."""

from cxr14.datasets.image_table import read_boxes
from cxr14.io import packaged_file
from cxr14.phantoms.places import Place, places_of_boxes

BOXES = "torchxrayvision/data/BBox_List_2017.csv.gz"


def packaged_places() -> dict[str, tuple[Place, ...]]:
    """Return the places of the findings in the packaged box table."""
    return places_of_boxes(read_boxes(packaged_file("torchxrayvision", BOXES)))
