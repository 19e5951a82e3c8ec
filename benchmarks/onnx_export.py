"""ONNX files of the trained backbones: difference from torch on all test images, size, speed.

    python benchmarks/onnx_export.py

Exports each backbone of params.yaml that is trained. Both programs get the same uint8 images, and
preprocessing is within the time. One thread, on the CPU; the median of the repetitions, the two
programs in turn. Exit code 1 if a logit differs by more than TOLERANCE.
"""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from cxr14.config.blocks import read_train
from cxr14.datasets.records import read_split
from cxr14.evaluation.predict import held_out
from cxr14.preprocessing.cache import open_cache
from cxr14.serving.onnx_export import INPUT, TOLERANCE, compare, export, graph_of, session
from cxr14.serving.onnx_export import read_trained as read
from cxr14.tracking.artifacts import find_trained

BATCHES, REPEATS = (1, 32), 7


def milliseconds(programs: list[Callable[[], object]], images: int) -> list[float]:
    """Return the median time per image of each program, run in turn."""
    times: list[list[float]] = [[] for _ in programs]
    for _ in range(REPEATS + 1):
        for program, known in zip(programs, times, strict=True):
            start = time.perf_counter()
            program()
            known.append(1000 * (time.perf_counter() - start) / images)
    return [statistics.median(known[1:]) for known in times]


def main() -> int:
    """Print one row per backbone."""
    torch.set_num_threads(1)
    images, index = open_cache()
    listed = held_out(index, read_split())
    test = images[np.sort(listed.loc[listed["split"] == "test", "row"].to_numpy())]
    columns = [f"{name}, batch {batch}" for batch in BATCHES for name in ("torch", "onnxruntime")]
    print(f"{len(test)} test images; ms per image, one thread")
    print(
        f"{'backbone':14s}{'MB':>7s}{'max |Δlogit|':>14s}" + "".join(f"{c:>23s}" for c in columns)
    )
    worst = 0.0
    for artifacts in find_trained(read_train().backbones):
        trained = read(artifacts.folders[0], artifacts.decision)
        content, graph = export(trained, test[:33]).content, graph_of(trained)
        opened = session(content, threads=1)
        difference = compare(opened, graph, test)
        worst = max(worst, difference)
        cells = f"{artifacts.backbone:14s}{len(content) / 1e6:7.1f}{difference:14.1e}"
        for batch in BATCHES:
            part = np.array(test[:batch])
            with torch.inference_mode():
                times = milliseconds(
                    [
                        lambda part=part, graph=graph: graph(torch.from_numpy(part)),
                        lambda part=part, opened=opened: opened.run(None, {INPUT: part}),
                    ],
                    batch,
                )
            cells += "".join(f"{value:23.2f}" for value in times)
        print(cells, flush=True)
    return int(not worst <= TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
