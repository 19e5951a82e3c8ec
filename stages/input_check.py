"""Fit the check of new images: which files are no frontal chest radiographs like those of train?

    python -m stages.input_check

The check is fitted on the images of train; its limit is chosen on validation, of whose images it
refuses 1 %. How many it refuses of test, and of images that are no frontal radiographs, is counted.

Reads data/cache, data/records/source.json, data/split.
Writes data/input_check.npz and metrics/input_check.json.
"""

import numpy as np

from cxr14.console import print_tables
from cxr14.datasets.records import SPLITS, read_source, read_split, write_result
from cxr14.preprocessing.cache import open_cache
from cxr14.report.terminal_serving import refusals_table
from cxr14.serving.input_check import InputCheck
from cxr14.serving.negatives import make_negatives
from cxr14.serving.refusals import rates
from stages import run


def main() -> None:
    """Run the stage."""
    images, index = open_cache()
    source, listed = read_source(), index.merge(read_split(), on="image")
    rows = {
        name: np.sort(listed["row"][listed["split"] == name].to_numpy(np.int64)) for name in SPLITS
    }
    check = InputCheck.fit(images, rows["train"], rows["val"])
    check.save("data/input_check.npz")
    refused = rates(check, images, rows, make_negatives(images, rows["test"]))
    write_result("metrics/input_check.json", refused, source)
    print_tables(refusals_table(refused, source))


if __name__ == "__main__":
    run(main, __doc__)
