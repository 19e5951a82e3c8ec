"""Images of the split: their pixels, labels and ground-truth boxes."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from cxr14.datasets.records import BOXES, RECORDS, SPLIT, read_boxes, read_records, read_split
from cxr14.errors import UserError, quote
from cxr14.labels import LABEL_COLUMNS, NO_FINDING, NO_FINDING_COLUMN
from cxr14.localization.heatmaps import SOURCE_SIZE, boxed_pairs
from cxr14.localization.overlap import CACHE_TRANSFORM, PAIR, Boxes, cached_boxes
from cxr14.preprocessing.cache import open_cache
from cxr14.preprocessing.decode import Shrunk
from cxr14.preprocessing.photometry import remarks_on


@dataclass(frozen=True)
class GroundTruth:
    """What the records hold of an image.

    Attributes:
        image: its name.
        split: train, val or test.
        labels: findings with label 1, or No Finding; empty if none is known.
        boxes: (K, 4) in pixels of the cached image, by finding.
    """

    image: str
    split: str
    labels: tuple[str, ...]
    boxes: dict[str, Boxes]


class SplitImages:
    """The images of data/cache with data/records and data/split.

    Raises:
        UserError: a file is missing or damaged.
    """

    def __init__(self, root: Path = Path()) -> None:
        self.images, index = open_cache(root / "data/cache")
        records, boxes = read_records(root / RECORDS), read_boxes(root / BOXES)
        split = read_split(root / SPLIT).set_index("image")["split"]
        self.index = index.set_index("image")
        self.records = records.set_index("image").reindex(self.index.index)
        self.split = split.reindex(self.index.index)
        pairs = boxed_pairs(boxes, index, records)
        self._boxes = dict(
            zip(pairs[PAIR].itertuples(index=False, name=None),
                cached_boxes(pairs, boxes), strict=True)
        )  # fmt: skip

    @property
    def size(self) -> int:
        """Pixels per side of the cached images."""
        return int(self.images.shape[1])

    @cached_property
    def _name_by_hash(self) -> dict[str, str]:
        return dict(zip(self.index["sha256"], self.index.index, strict=True))

    def name_of(self, digest: str) -> str | None:
        """Return the image whose file has this SHA-256; None if there is none."""
        return self._name_by_hash.get(digest)

    def tested(self, finding: str | None = None) -> list[str]:
        """List the test images, those with a ground-truth box first.

        Args:
            finding: with whose label or box; None for any image.
        """
        test = self.split == "test"
        if finding is not None:
            test &= self.records[finding] == 1
        boxed = {image for image, name in self._boxes if finding in (None, name)}
        return sorted(self.index.index[test], key=lambda image: (image not in boxed, image))

    def shrunk(self, image: str) -> Shrunk:
        """Return an image and its geometry.

        Raises:
            UserError: there is no such image.
        """
        if image not in self.index.index:
            raise UserError(f"{quote(image)} is no image of the split")
        row = self.index.loc[image].to_dict()
        pixels = np.array(self.images[row["row"]])
        width, height = (int(row[name]) for name in SOURCE_SIZE)
        transform = (float(row[name]) for name in CACHE_TRANSFORM)
        return Shrunk(pixels, "L", tuple(remarks_on(pixels)), width, height, *transform)

    def ground_truth(self, image: str) -> GroundTruth:
        """Return what the records hold of an image."""
        row = self.records.loc[image]
        labels = tuple(
            NO_FINDING if name == NO_FINDING_COLUMN else name
            for name in LABEL_COLUMNS
            if row[name] == 1
        )
        boxes = {name: boxes for (of, name), boxes in self._boxes.items() if of == image}
        return GroundTruth(image, str(self.split[image]), labels, boxes)
