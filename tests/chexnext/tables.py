"""Small records for the tests of the second pipeline."""

import numpy as np
import pandas as pd

from cxr14.chexnext.label_noise import with_no_finding
from cxr14.datasets.records import Source
from cxr14.labels import FINDINGS, NO_FINDING_COLUMN

PHANTOM = Source("phantom", phantom=True, official_split=False)
NIH = Source("nih", phantom=False, official_split=True)


def records(count: int = 200, share: float = 0.2, seed: int = 1, patients: int | None = None):
    """Records with random labels; two images of each patient unless said otherwise."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"image": [f"{n:04d}.png" for n in range(count)]})
    table["patient"] = np.arange(count) * (patients or count // 2) // count
    table["age"] = pd.array([None if n % 7 == 0 else 40 for n in range(count)], dtype="Int16")
    for name in FINDINGS:
        table[name] = (rng.random(count) < share).astype(np.uint8)
    table[NO_FINDING_COLUMN] = np.uint8(0)
    table["has_pixels"] = True
    return with_no_finding(table, np.arange(count))


def splits(count: int = 200):
    """Half train, a quarter val, a quarter test, by patient."""
    return np.repeat(["train", "val", "test"], [count // 2, count // 4, count // 4])
