"""The radiograph on the page: an uploaded file, or an image of the split."""

import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st
from PIL import Image
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from cxr14.errors import UserError
from cxr14.localization.overlap import CACHE_TRANSFORM
from cxr14.preprocessing.decode import shrink
from cxr14.serving.files import Failure, Input, decode_input
from cxr14.serving.refusals import size_faults
from cxr14.serving.split_images import GroundTruth, SplitImages

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

PICTURE_SIDE = 896
"""Pixels per side of an uploaded file on the page."""

JPEG_QUALITY = 92

CACHE = "data/cache"


@dataclass(frozen=True)
class Radiograph:
    """An image for the networks and for the page.

    Attributes:
        key: SHA-256 of the file, or the name of an image of the split.
        input: as score_inputs takes it.
        picture: JPEG of it, padded to a square.
        truth: what the records hold of it, if it is an image of the split.
    """

    key: str
    input: Input
    picture: bytes
    truth: GroundTruth | None = None

    @property
    def size(self) -> int:
        """S."""
        return len(self.input.shrunk.pixels)

    @property
    def images(self) -> npt.NDArray[np.uint8]:
        """The image as an array of one, uint8 (1, S, S)."""
        return self.input.shrunk.pixels[None]

    @property
    def transform(self) -> tuple[float, float, float]:
        """Scale, offset_x and offset_y from pixels of the file to those of the cache."""
        shrunk = self.input.shrunk
        return shrunk.scale, shrunk.offset_x, shrunk.offset_y

    def pair(self, finding: str) -> pd.DataFrame:
        """Return the pair of this image and a finding, as Predictor takes it."""
        geometry = dict(zip(CACHE_TRANSFORM, self.transform, strict=True))
        return pd.DataFrame([{"image": self.key, "finding": finding, "row": 0} | geometry])


@st.cache_resource(show_spinner=False)
def split_images() -> SplitImages | None:
    """Open the images of the split; None where there is no data, only a model.

    Raises:
        UserError: a file is missing or damaged.
    """
    return SplitImages() if Path(CACHE).exists() else None


def of_split(images: SplitImages, name: str) -> Radiograph:
    """Return an image of the split.

    Raises:
        UserError: there is no such image.
    """
    shrunk = images.shrunk(name)
    faults = size_faults(shrunk.source_width, shrunk.source_height)
    picture = jpeg_of(shrunk.pixels)
    item = Input(name, shrunk, tuple(faults))
    return Radiograph(name, item, picture, images.ground_truth(name))


def of_file(content: bytes, name: str, size: int) -> Radiograph:
    """Decode an uploaded file.

    Args:
        content: bytes of the file.
        name: of the file; as it may be that of a patient, only its extension is used.
        size: pixels per side of the cache.

    Raises:
        UserError: it is no complete PNG, JPEG or DICOM radiograph.
    """
    anonymous = f"file{PurePath(name).suffix.lower()}"
    decoded = decode_input(content, size, anonymous)
    if isinstance(decoded, Failure):
        raise UserError(decoded.reason)
    digest = hashlib.sha256(content).hexdigest()
    images = split_images()
    known = images.name_of(digest) if images else None
    truth = _resized(images.ground_truth(known), size / images.size) if images and known else None
    picture = jpeg_of(shrink(content, PICTURE_SIDE, anonymous).pixels)
    return Radiograph(digest, decoded, picture, truth)


def _resized(truth: GroundTruth, factor: float) -> GroundTruth:
    """Scale the boxes from pixels of data/cache to those that the model takes."""
    boxes = {finding: corners * factor for finding, corners in truth.boxes.items()}
    return replace(truth, boxes=boxes)


def jpeg_of(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode grey pixels, without metadata."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def drop(file: "UploadedFile") -> None:
    """Free the bytes of an uploaded file, which Streamlit keeps until its session ends."""
    context = get_script_run_ctx()
    if context and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)
