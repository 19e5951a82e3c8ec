"""Describe how predictions on new files are served, and fit the check of their input.

    python -m stages.serving

The check is fitted on the images of train; its limit is chosen on validation, of whose images it
refuses 1 %. How many it refuses of test, and of images that are no frontal radiographs, is counted.

Reads data/cache, data/records/source.json, data/split, metrics/localize.
Writes serving/B.json for every backbone, serving/input_check.npz and metrics/serving.json.
"""

from pathlib import Path

import numpy as np

from cxr14.config.blocks import read_train
from cxr14.config.localize import read_localize
from cxr14.console import print_tables
from cxr14.datasets.records import SPLITS, read_source, read_split, write_result
from cxr14.preprocessing.cache import open_cache
from cxr14.report.terminal_serving import refusals_table
from cxr14.serving.description import describe, write_description
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
    check.save("serving/input_check.npz")
    size, params = images.shape[1], read_localize()
    for name in read_train().backbones:
        scale = Path(f"metrics/localize/{name}/scale.csv")
        write_description(f"serving/{name}.json", describe(name, source, size, params, scale))
    found = rates(check, images, rows, make_negatives(images, rows["test"]))
    write_result("metrics/serving.json", found, source)
    print_tables(refusals_table(found, source))


if __name__ == "__main__":
    run(main, __doc__)
