"""The labels of records, as the matrix that training, evaluation and the baseline take."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr14.findings import CLASSES, LABEL_COLUMNS

MORE_POSITIVES = "raise split.val_fraction, change split.seed, or add images"
"""What to do if val lacks positives; the official lists leave the cut of val to these keys too."""


def label_matrix(images: pd.DataFrame, classes: Sequence[str] = CLASSES) -> npt.NDArray[np.float32]:
    """Return the labels of a table of N images as float32 (N, C), a column per class.

    An image with none of the classes is a row of zeros.
    """
    columns = [LABEL_COLUMNS[CLASSES.index(name)] for name in classes]
    return images[columns].to_numpy(np.float32)
