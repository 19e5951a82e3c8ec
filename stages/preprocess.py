"""Shrink every image to `preprocess.size` and keep all of them in one array.

Odd files (RGBA, palettes, 16 bits, not square) are met by a rule each and counted; an image whose
content is not the one that was listed stops the run.

Reads:  data/raw, params.yaml (preprocess)

Writes: data/cache (images.npy uint8 (N, S, S), index.parquet), metrics/preprocess.json
"""

from pathlib import Path

import pandas as pd
import typer

from cxr14.data.preprocess import fill_cache
from cxr14.data.raw import FACTS, IMAGES, MANIFEST, TABLES
from cxr14.files import project_root, read_json, write_metrics
from cxr14.params import preprocess
from stages import run


def main() -> None:
    """Write the cache."""
    params = preprocess.read()
    facts = read_json(TABLES / FACTS)
    manifest = pd.read_csv(TABLES / MANIFEST, keep_default_na=False)
    base = IMAGES if facts["base"] is None else project_root() / facts["base"]
    counts = fill_cache(manifest, base, Path("data/cache"), params.size, params.workers)
    write_metrics("metrics/preprocess.json", {**counts, "phantom": int(facts["phantom"])})
    typer.echo(", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in counts.items()))


if __name__ == "__main__":
    run(main, __doc__)
