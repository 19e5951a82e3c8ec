"""Write the pictures of README.md: ``python docs/generate_pictures.py``, after ``make repro``.

docs/phantoms.png shows a radiograph per finding and one without, docs/boxes.png the contact sheet
of Mass of the backbone with the highest AUROC, docs/page.png the first screen of report/index.html
(in Chromium).
"""

import io
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image
from playwright.sync_api import sync_playwright

from cxr14.datasets.records import read_records
from cxr14.io import read_json
from cxr14.labels import CLASSES, FINDINGS
from cxr14.preprocessing.cache import open_cache, rows_of

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = 5
SHEET = "Mass"


def main() -> None:
    """Write the pictures."""
    draw_examples(ROOT / "docs/phantoms.png", *examples())
    sheets = ROOT / "plots/localize" / best_backbone()
    shutil.copyfile(sheets / f"{SHEET}.png", ROOT / "docs/boxes.png")
    photograph(ROOT / "report/index.html", ROOT / "docs/page.png")


def examples() -> tuple[list[str], npt.NDArray[np.uint8]]:
    """Return for each class a cached image with as few other findings as possible."""
    images, index = open_cache(ROOT / "data/cache")
    records = read_records(ROOT / "data/records/images.parquet")
    cached = records[records["image"].isin(index["image"]) & (records["view"] == "PA")]
    findings = cached[[*FINDINGS]].sum(axis="columns")
    chosen = []
    for name in CLASSES:
        members = cached[name] == 1 if name in FINDINGS else findings == 0
        fewest = findings[members].sort_values(kind="stable").index
        chosen.append(next(row for row in fewest if row not in chosen))
    return [*CLASSES], images[rows_of(index, cached.loc[chosen, "image"])]


def draw_examples(path: Path, names: list[str], images: npt.NDArray[np.uint8]) -> None:
    """Draw the images in rows, each below its name."""
    rows = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(1.8 * COLUMNS, 2.0 * rows), dpi=100)
    figure.subplots_adjust(0, 0, 1, 0.96, wspace=0.02, hspace=0.12)
    for axis, name, image in zip(figure.subplots(rows, COLUMNS).flat, names, images, strict=True):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        axis.set_title(name.replace("_", " "), fontsize=9, loc="left", pad=2)
        axis.set_axis_off()
    figure.savefig(path, metadata={"Software": None})


def photograph(page: Path, path: Path) -> None:
    """Write the first screen of a page, in 256 colours."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        screen = browser.new_page(viewport={"width": 1280, "height": 960})
        screen.goto(page.as_uri())
        screen.wait_for_timeout(2_000)  # charts are drawn
        content = screen.screenshot()
        browser.close()
    Image.open(io.BytesIO(content)).convert("RGB").quantize(256).save(path, optimize=True)


def best_backbone() -> str:
    """Return the backbone with the highest macro AUROC on test."""
    summary = read_json(ROOT / "metrics/summary.json")
    scores: pd.Series[float] = pd.Series(
        {
            name: values["test_macro_auroc"]
            for name, values in summary.items()
            if isinstance(values, dict) and name != "baseline"
        }
    )
    return str(scores.idxmax())


if __name__ == "__main__":
    main()
