"""Shrink every image to `preprocess.size` and keep all of them in one array.

Odd files (RGBA, palettes, 16 bits, JPEG, not square, …) are met by a rule each and counted. An
image that cannot be used, or is not the one that was listed, stops the run when all others were
tried, or is left out (`preprocess.on_error`). An interrupted run goes on where it was: finished
work lies in .scratch/preprocess.

Reads:  data/raw, params.yaml (preprocess)

Writes: data/cache (images.npy uint8 (N, S, S), index.parquet, skipped.csv, flagged.csv),
metrics/preprocess.json
"""

from pathlib import Path

import typer

from cxr14.data.preprocessing.fill import choose_engine, fill_cache
from cxr14.data.raw import images_base, read_facts, read_manifest
from cxr14.files import project_root, write_metrics
from cxr14.params import preprocess
from stages import run


def main() -> None:
    """Write the cache."""
    params = preprocess.read()
    facts = read_facts()
    manifest = read_manifest()
    counts = fill_cache(
        manifest,
        images_base(facts["base"]),
        Path("data/cache"),
        params.size,
        scratch=project_root() / ".scratch" / "preprocess",
        engine=choose_engine(params.engine, params.workers, params.scheduler),
        on_error=params.on_error,
    )
    write_metrics("metrics/preprocess.json", {**counts, "phantom": int(facts["phantom"])})
    said = (
        f"{name.replace('_', ' ')}: {n}" for name, n in counts.items() if n or name == "skipped"
    )
    typer.echo(", ".join(said))
    if counts["skipped"]:
        typer.echo(f"{counts['skipped']} images were left out; data/cache/skipped.csv names them")


if __name__ == "__main__":
    run(main, __doc__)
