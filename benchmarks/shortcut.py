"""Shortcut learning with known truth: chest drains that go with Pneumothorax.

    python benchmarks/shortcut.py --contrast 0.8      (about six minutes on two cores)

The phantoms of params.yaml, with findings of this contrast, are drawn twice: with drains that do
not depend on the findings (data.phantom.shortcut 0), and with a drain in every image with
Pneumothorax and in no other (1).
One network is trained on each set. Both are tested on both sets, which have the same test records.
Their heatmaps for Pneumothorax in the images with drains are scored on the masks of the drain and
of the air: pointing game and energy, intervals by patient. A network that has learnt the drain has
a high AUROC with the shortcut and a low one without it, and its heat is on the drain.

Writes .scratch/shortcut/contrast-C.png. Results: docs/explanation/shortcut.md.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import typer
from _lung_boxes import packaged_lung_boxes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML
from scipy import ndimage

from cxr14.config.blocks import read_data
from cxr14.config.localize import LocalizeParams, read_localize
from cxr14.console import format_interval
from cxr14.datasets.records import PHANTOM_NOTE
from cxr14.evaluation.predict import predict_logits
from cxr14.figures.overlays import HEAT
from cxr14.localization.cam import SaliencySettings, normalized_heatmaps
from cxr14.localization.heatmaps import uncut_heat
from cxr14.localization.means import wilson_interval
from cxr14.localization.pointing import energy, pointing
from cxr14.masks import SIDE
from cxr14.metrics.auroc import weighted_auroc
from cxr14.metrics.bootstrap import SEED, draw_replicates, weighted_sums
from cxr14.metrics.intervals import summary
from cxr14.models.network import Network
from cxr14.models.serialization import load_model
from cxr14.phantoms.anatomy import load_anatomy
from cxr14.phantoms.render import RenderSettings, render
from cxr14.preprocessing.cache import open_cache, rows_of

ROOT = Path(__file__).resolve().parents[1]
SCRATCH = Path(".scratch/shortcut")
FINDING = "Pneumothorax"
SHORTCUTS = {"independent drains": 0.0, "drains with Pneumothorax": 1.0}
"""data.phantom.shortcut by how the drains are drawn."""

MARGIN = 5
"""Pixels of 256 by which masks are widened: half a cell of AlexNet's grid of stride 4 at 112 px."""

Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Phantoms:
    """Test images of a set of phantoms.

    Attributes:
        records: image, patient and labels of N images, sorted by image.
        images: (M, S, S) uint8, the cache.
        rows: (N,) of the cache.
    """

    records: pd.DataFrame
    images: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.int64]


def build(
    folder: Path, backbone: str, recipe: dict[str, int], contrast: float, shortcut: float
) -> None:
    """Draw phantoms and train a network in a folder, by the stages, unless that has been done."""
    params = YAML(typ="safe").load(Path("params.yaml"))
    params["data"]["phantom"] |= {"contrast": contrast, "shortcut": shortcut}
    params["train"]["overrides"].setdefault(backbone, {}).update(recipe)
    stored = folder / "params.yaml"
    same = stored.exists() and YAML(typ="safe").load(stored) == params
    if same and (folder / "models" / backbone / "model.json").exists():
        return
    # Else an interrupted run would leave the network of other params beside these.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    YAML().dump(params, stored)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for stage in ("download", "patient_split", "preprocess", "pretrained", "train"):
        of_backbone = [f"--backbone={backbone}"] if stage in ("pretrained", "train") else []
        command = [sys.executable, "-m", f"stages.{stage}", *of_backbone]
        subprocess.run(command, cwd=folder, env=environment, check=True)


def read_test(folder: Path) -> Phantoms:
    """Read the test images of a folder."""
    images, index = open_cache(folder / "data/cache")
    records = pd.read_parquet(folder / "data/records/images.parquet")
    split = pd.read_parquet(folder / "data/split/split.parquet")["split"]
    test = records[(split == "test") & records["has_pixels"]].sort_values("image")
    return Phantoms(test.reset_index(drop=True), images, rows_of(index, test["image"]))


def auroc_interval(network: Network, input_size: int, phantoms: Phantoms) -> str:
    """Return the AUROC of the finding on test with its interval."""
    logits = predict_logits(network, phantoms.images, phantoms.rows, input_size, 64)
    scores = logits[:, [network.classes.index(FINDING)]]
    labels = phantoms.records[[FINDING]].to_numpy(np.int64)
    replicates = draw_replicates(phantoms.records["patient"], np.random.default_rng(SEED))
    return cell(weighted_auroc(labels, scores, *replicates)[:, 0])


def cell(values: npt.NDArray[np.float64], patients: int = 0) -> str:
    """Format a value and its interval; values (1 + R,) on all images, then by replicate.

    A share of 0 or 1 of some patients has Wilson's interval, as all replicates are equal.
    """
    if patients and values[0] in (0, 1):
        low, high = wilson_interval(values[:1], np.array([patients]))
        return format_interval(float(values[0]), float(low[0]), float(high[0]))
    return format_interval(*summary(values)[:3])


def drain_and_air(records: pd.DataFrame, contrast: float) -> tuple[Masks, Masks]:
    """Render the phantoms again for the masks of the drain and of the air: (N, SIDE, SIDE) each."""
    params, anatomy = read_data().phantom, load_anatomy()
    settings = RenderSettings(packaged_lung_boxes(), params.size, contrast, 1.0, params.seed)
    rendered = [render(record, anatomy, settings) for record in records.to_dict("records")]
    drains, air = (
        np.stack([ndimage.binary_dilation(mask, iterations=MARGIN) for mask in masks])
        for masks in (
            [phantom.device_masks["drain"] for phantom in rendered],
            [phantom.masks[FINDING] for phantom in rendered],
        )
    )
    return drains, air


def heat_of_finding(
    network: Network,
    input_size: int,
    phantoms: Phantoms,
    positive: npt.NDArray[np.bool_],
    params: LocalizeParams,
) -> npt.NDArray[np.float32]:
    """Return the heatmaps of the finding in its images: (P, SIDE, SIDE), 0 to 255."""
    settings = SaliencySettings.of_params(params, input_size, phantoms.images.shape[-1])
    pairs = phantoms.records.loc[positive, ["image"]]
    pairs = pairs.assign(finding=FINDING, row=phantoms.rows[positive])
    return uncut_heat(normalized_heatmaps(network, phantoms.images, pairs, settings), SIDE)


def mean_scores(
    heat: npt.NDArray[np.float32], inside: Masks, patients: "pd.Series[int]"
) -> list[str]:
    """Return the means of pointing and energy over the images, with intervals by patient."""
    scores = np.array(
        [
            [measure(*pair) for measure in (pointing, energy)]
            for pair in zip(heat, inside.astype(np.float64), strict=True)
        ]
    )
    replicates = draw_replicates(patients, np.random.default_rng(SEED))
    table = np.column_stack([scores, np.ones(len(scores))])
    *sums, counts = weighted_sums(table, *replicates).T
    return [cell(values / counts, len(replicates.counts)) for values in sums]


def draw_examples(
    path: Path, pictures: npt.NDArray[np.uint8], heats: dict[str, npt.NDArray[np.float32]]
) -> None:
    """Draw the heatmaps of both networks on some radiographs, a row per network."""
    figure = Figure(figsize=(2.6 * len(pictures), 2.9 * len(heats)), dpi=100)
    axes = figure.subplots(len(heats), len(pictures), squeeze=False)
    for row, (name, heat) in zip(axes, heats.items(), strict=True):
        for axis, picture, map_ in zip(row, pictures, heat, strict=True):
            box = (0, SIDE, SIDE, 0)
            axis.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=box)
            axis.imshow(map_, cmap=HEAT, vmin=0, vmax=255, extent=box)
            axis.set_axis_off()
        row[0].set_title(f"trained with {name}", loc="left", fontsize=12)
    figure.suptitle(f"Heat of {FINDING} ({PHANTOM_NOTE})", fontsize=13)
    figure.tight_layout(h_pad=2)
    figure.savefig(path, metadata={"Software": None})


def main(
    backbone: str = "alexnet",
    contrast: float = 0.8,
    epochs: int = 10,
    input_size: int = 112,
    examples: int = 5,
) -> None:
    """Build both sets, and print the table."""
    params, phantoms, networks = read_localize(), {}, {}
    for name, shortcut in SHORTCUTS.items():
        folder = SCRATCH / f"{backbone}-{input_size}-contrast-{contrast:g}-shortcut-{shortcut:g}"
        build(folder, backbone, {"epochs": epochs, "input_size": input_size}, contrast, shortcut)
        phantoms[name] = read_test(folder)
        network, facts = load_model(folder / "models" / backbone)
        networks[name] = network, int(facts["input_size"])
    with_shortcut = phantoms["drains with Pneumothorax"]
    positive = with_shortcut.records[FINDING].to_numpy() == 1
    records = with_shortcut.records[positive]
    targets = dict(zip(("drain", "air"), drain_and_air(records, contrast), strict=True))
    columns = [f"AUROC, {name}" for name in SHORTCUTS]
    columns += [f"{measure}, {target}" for target in targets for measure in ("pointing", "energy")]
    table = Table(
        "trained with",
        *columns,
        title=f"{backbone}, {FINDING}, contrast {contrast:g}, {input_size} px: {PHANTOM_NOTE}",
    )
    heats = {}
    for name, (network, size) in networks.items():
        heats[name] = heat_of_finding(network, size, with_shortcut, positive, params)
        cells = [auroc_interval(network, size, tested) for tested in phantoms.values()]
        for inside in targets.values():
            cells += mean_scores(heats[name], inside, records["patient"])
        table.add_row(name, *cells)
    covered = ", ".join(f"{name} {masks.mean():.3f}" for name, masks in targets.items())
    table.caption = (
        f"test: {len(with_shortcut.records)} images; heat: the {len(records)} with {FINDING}, all "
        f"with a drain; share of the image that the masks cover: {covered}"
    )
    chosen = np.linspace(0, len(records) - 1, examples).round().astype(int)
    pictures = with_shortcut.images[with_shortcut.rows[positive][chosen]]
    example_heats = {name: heat[chosen] for name, heat in heats.items()}
    draw_examples(SCRATCH / f"contrast-{contrast:g}.png", pictures, example_heats)
    Console(width=200).print(table)


if __name__ == "__main__":
    typer.run(main)
