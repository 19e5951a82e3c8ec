"""Describe how each network is served: sizes, heatmap settings and heat scales.

    python -m stages.serving

Reads data/cache, data/records/source.json, metrics/localize.
Writes serving/B.json for every backbone.
"""

from pathlib import Path

from cxr14.config.blocks import read_train
from cxr14.config.localize import read_localize
from cxr14.datasets.records import read_source
from cxr14.preprocessing.cache import open_cache
from cxr14.serving.description import describe, write_description
from stages import run


def main() -> None:
    """Run the stage."""
    images, _ = open_cache()
    source, size, params = read_source(), images.shape[1], read_localize()
    for name in read_train().backbones:
        scale = Path(f"metrics/localize/{name}/scale.csv")
        write_description(f"serving/{name}.json", describe(name, source, size, params, scale))


if __name__ == "__main__":
    run(main, __doc__)
