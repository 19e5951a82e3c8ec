"""The labels of records, as the matrix that training, evaluation and the baseline take."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.findings import LABEL_COLUMNS


def label_matrix(images: pd.DataFrame) -> npt.NDArray[np.float32]:
    """Return the labels of a table of N images as float32 (N, 15), in the order of CLASSES."""
    return images[list(LABEL_COLUMNS)].to_numpy(np.float32)
