"""Model cards and data cards: Markdown templates filled with metrics, and their HTML.

Model cards have the headings of Mitchell et al. 2019 (arXiv 1810.03993), data cards those of Gebru
et al. 2021, "Datasheets for Datasets" (arXiv 1803.09010).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt

from cxr14.datasets.records import SPLITS
from cxr14.evaluation.measures import SAW_TEST_IMAGES
from cxr14.evaluation.predictions import network_files, read_decision
from cxr14.io import read_json, sha256, write_text
from cxr14.labels import CLASSES, LABEL_COLUMNS
from cxr14.metrics.bootstrap import N_REPLICATES
from cxr14.report.card_tables import (
    ATTRIBUTES,
    calibration_table,
    difference_table,
    external_table,
    finding_table,
    gap_count,
    localization_table,
    mean_table,
    sanity_check,
    subgroup_table,
)
from cxr14.report.elements import Table, count, spaced
from cxr14.report.localization import is_flagged
from cxr14.report.published import split_name
from cxr14.report.summary import NO_TEST, TTA_LEGEND, Results, tta_remark
from cxr14.serving.models import file_stem
from cxr14.serving.origin import LICENCE, initial_weights
from cxr14.serving.thresholds import calibrated_thresholds

FOLDER: Final = Path("report/cards")
TITLES: Final = {
    "phantom": "phantom radiographs",
    "nih": "NIH ChestX-ray14",
    "folder": "a folder of images",
    "csv": "a table of images",
}


@dataclass(frozen=True)
class Facts:
    """What the cards need beside the results.

    Attributes:
        models: content of models/B/model.json by backbone.
        decisions: SHA-256 of evaluation/B/decision.json by backbone.
        thresholds: of each class, on the scale of calibrated probabilities, by backbone.
        counts: content of metrics/patient_split.json.
        records: content of metrics/eda.json.
        cache: content of metrics/preprocess.json.
        mapping: `data.mapping`, of the source csv.
    """

    models: Mapping[str, Mapping[str, Any]]
    decisions: Mapping[str, str]
    thresholds: Mapping[str, Mapping[str, float]]
    counts: Mapping[str, Any]
    records: Mapping[str, Any]
    cache: Mapping[str, Any]
    mapping: str | None


def read_facts(root: Path, backbones: list[str], mapping: str | None) -> Facts:
    """Read the facts of the cards.

    Raises:
        UserError: a file is missing or damaged.
    """
    metrics = root / "metrics"
    models = {name: read_json(root / "models" / name / "model.json", *MODEL) for name in backbones}
    decisions = {name: root / network_files(name)[1] for name in backbones}
    return Facts(
        models,
        {name: sha256(path) for name, path in decisions.items()},
        {name: _thresholds(path, models[name]["classes"]) for name, path in decisions.items()},
        read_json(metrics / "patient_split.json", "all", "with_pixels"),
        read_json(metrics / "eda.json", "train_val"),
        read_json(metrics / "preprocess.json", "images", "size"),
        mapping,
    )


MODEL: Final = (
    *("input_size", "head", "params", "weights_sha256", "run_identity", "parameters", "classes"),
)
"""Required keys of model.json."""


def _thresholds(path: Path, classes: Sequence[str]) -> dict[str, float]:
    """Read the calibrated thresholds of a decision, by class."""
    values = calibrated_thresholds(read_decision(path, classes), classes)
    return dict(zip(classes, values.tolist(), strict=True))


def write_cards(results: Results, facts: Facts, folder: Path = FOLDER) -> None:
    """Write model_B and data_SOURCE, each as .md and .html."""
    cards = {f"model_{name}": model_card(results, facts, name) for name in results.backbones}
    cards[f"data_{results.source.name}"] = data_card(results, facts)
    for name, text in cards.items():
        write_text(folder / f"{file_stem(name)}.md", text)
        write_text(folder / f"{file_stem(name)}.html", as_html(text))


def model_card(results: Results, facts: Facts, backbone: str) -> str:
    """Return the model card of a backbone as Markdown."""
    numbers, external = results.evaluate[backbone], external_table(results, backbone)
    remark = tta_remark(numbers)
    return _fill(
        "model_card.md",
        name=backbone,
        cautions=_cautions(results),
        phantom=results.source.phantom,
        source=results.source.name,
        details=_details(results, facts, backbone),
        attributes=", ".join(ATTRIBUTES),
        replicates=f"{N_REPLICATES:,}",
        evaluation_data=(
            f"Test split: {count(numbers['images'])} images of {count(numbers['patients'])} "
            f"patients, {split_name(results)}. It is read once, by the stage `evaluate`."
        ),
        training_data=_training_data(facts),
        label_counts=_label_counts(facts),
        means=mean_table(results, backbone),
        augmentation=f"{TTA_LEGEND}: {remark}." if remark else "",
        findings=finding_table(results, backbone, facts.thresholds[backbone]),
        differences=difference_table(results, backbone),
        gap_count=gap_count(results, backbone),
        subgroups=subgroup_table(results, backbone),
        weighted=facts.models[backbone]["params"]["loss"]["weighting"] != "none",
        calibration=calibration_table(results, backbone),
        localization=localization_table(results, backbone),
        sanity=sanity_check(results, backbone),
        flagged=is_flagged(results, backbone),
        external=external,
        caveats=_caveats(results, facts, backbone),
        licence=LICENCE,
    )


def _cautions(results: Results) -> list[str]:
    return [results.source.caution, "Not a medical device."]


def _details(results: Results, facts: Facts, backbone: str) -> Table:
    """Return name, architecture, training and hashes of a network."""
    model = facts.models[backbone]
    params, head = model["params"], model["head"]
    train, loss = params["train"], params["loss"]
    rows = [
        ("model", f"`{backbone}`, one network of the package cxr14"),
        ("task", f"multi-label: a probability for each of {len(model['classes'])} classes"),
        ("input", f"grey frontal radiographs, {model['input_size']} px per side"),
        (
            "architecture",
            f"backbone, 1×1 convolution to {head['transition_channels']} channels, "
            f"{head['pooling']} pooling, linear layer (Wang et al. 2017); "
            f"stride {head['output_stride']}",
        ),
        ("parameters", f"{model['parameters']:,}"),
        ("initial weights", initial_weights(model)),
        ("loss", f"{loss['name']}, weighting {loss['weighting']}"),
        (
            "training",
            f"{model['epochs']} epochs, the weights are of epoch {model['best_epoch']} (best on "
            f"validation); {train['optimizer']}, learning rate {train['learning_rate']:g}, batch "
            f"size {train['batch_size']}, seed {train['seed']}",
        ),
        ("images", TITLES[results.source.name]),
        ("SHA-256 of the weights", f"`{model['weights_sha256']}`"),
        ("SHA-256 of thresholds and calibration", f"`{facts.decisions[backbone]}`"),
        ("identity of the training", f"`{model['run_identity']}`"),
        ("questions", "to the maintainers of the repository (CONTRIBUTING.md)"),
    ]
    return Table(("property", "value"), rows, "", column_classes=("value",))


def _training_data(facts: Facts) -> str:
    train, val = (
        f"{count(size['images'])} images of {count(size['patients'])} patients"
        for size in map(facts.counts["with_pixels"].get, ("train", "val"))
    )
    return (
        f"Train: {train}; val: {val}. Train fits the weights; val chooses the epoch, the "
        "thresholds and the calibration. No patient is in two splits."
    )


def _label_counts(facts: Facts) -> Table:
    """Return the positives of each class by split, of the images with pixels."""
    splits = facts.counts["with_pixels"]
    keys = dict(zip(CLASSES, LABEL_COLUMNS, strict=True))
    rows = [
        (spaced(name), *(count(splits[split]["labels"].get(key)) for split in SPLITS))
        for name, key in keys.items()
    ]
    return Table(("positives", *SPLITS), rows, "Images with pixels.")


def _caveats(results: Results, facts: Facts, backbone: str) -> list[str]:
    caveats = [
        "Probabilities as trained are not calibrated; use the calibrated ones with the calibrated "
        "thresholds, and only on images like those of validation.",
        "Thresholds are those of the highest F1, not those of a clinical cost.",
        "Another hospital has other prevalences and devices: score the network on its images first "
        "(docs/howto/external.md).",
        "One seed was trained; how another one would move the scores is not in the intervals.",
    ]
    if results.source.phantom:
        caveats.insert(0, "Every number is of simulated pixels and says nothing about patients.")
    if tta_remark(results.evaluate[backbone]):
        caveats.append(
            "Thresholds and calibration were chosen with test-time augmentation, and hold with it."
        )
    if untrained := facts.models[backbone].get("untrainable_findings"):
        caveats.append(f"Without positives or negatives in train: {', '.join(untrained)}.")
    if results.evaluate[backbone].get(SAW_TEST_IMAGES):
        caveats.append(f"The network {NO_TEST}.")
    return caveats


def data_card(results: Results, facts: Facts) -> str:
    """Return the data card of the source as Markdown."""
    source, counts = results.source, facts.counts
    return _fill(
        f"data_{source.name}.md",
        title=TITLES[source.name],
        cautions=[source.caution] if source.phantom else [],
        composition=_composition(facts),
        sizes=_sizes(facts),
        labels=_label_counts(facts),
        people=_people(facts),
        split=split_name(results),
        missing=_missing(facts),
        preprocessing=_preprocessing(facts),
        packaged_table=bool(counts.get("packaged_table")),
        packaged_boxes=bool(counts.get("packaged_boxes")),
        mapping=f"`{facts.mapping}`" if _mapping_notes(facts.mapping) else "of the user",
        notes=_mapping_notes(facts.mapping),
    )


def _composition(facts: Facts) -> str:
    return (
        f"An instance is a frontal chest radiograph with the labels of {len(CLASSES) - 1} findings "
        f"and `No Finding`. {count(facts.records.get('images'))} images of "
        f"{count(facts.records.get('patients'))} patients are in the table; "
        f"{count(facts.cache['images'])} of them have pixels in this run."
    )


def _sizes(facts: Facts) -> Table:
    rows = [
        (split, *(count(facts.counts[kind][split][unit]) for kind, unit in SIZES.values()))
        for split in SPLITS
    ]
    return Table(("split", *SIZES), rows, "")


SIZES: Final = {
    "images": ("all", "images"),
    "patients": ("all", "patients"),
    "images with pixels": ("with_pixels", "images"),
    "their patients": ("with_pixels", "patients"),
}


def _people(facts: Facts) -> str:
    """Describe sex and age of train-val, as far as the table has them."""
    known = facts.records["train_val"]
    parts = []
    if known.get("male") is not None:
        parts.append(f"{100 * known['male']:.1f} % of the images are of men")
    if known.get("age_mode") is not None:
        parts.append(f"the most frequent age is {known['age_mode']} years")
        parts.append(f"the highest {known['age_oldest']}")
    if known.get("no_finding") is not None:
        parts.append(f"{100 * known['no_finding']:.1f} % have no finding")
    return f"- **Patients** (train and val, all records): {', '.join(parts)}." if parts else ""


def _missing(facts: Facts) -> str:
    """Name what is absent: rows without pixels, skipped files, ages."""
    everything, pixels = (
        sum(split["images"] for split in facts.counts[kind].values())
        for kind in ("all", "with_pixels")
    )
    ages = facts.records["train_val"].get("age_missing")
    return (
        f"{everything - pixels:,} rows have no image here; {count(facts.cache.get('skipped'))} "
        f"unusable images were skipped; {count(ages)} ages are unknown (train and val)."
    )


def _preprocessing(facts: Facts) -> str:
    size = facts.cache["size"]
    odd = {key: facts.cache.get(key) for key in ("inverted", "faint", "colour", "padded")}
    listed = ", ".join(f"{name} {count(number)}" for name, number in odd.items() if number)
    return (
        f"Images are decoded to grey, padded to a square and shrunk to {size}×{size} pixels, uint8 "
        f"(`data/cache`). Remarks on images: {listed or 'none'}."
    )


def _mapping_notes(mapping: str | None) -> list[str]:
    """Return the comment at the head of a mapping that the package ships; none of another one."""
    file = files("cxr14.datasets") / "mappings" / f"{mapping}.yaml"
    if mapping is None or "/" in mapping or not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("#").strip() for line in lines if line.startswith("#")]


def _fill(template: str, **values: Any) -> str:
    """Fill a Markdown template."""
    environment = _environment()
    environment.filters["cell"] = as_cell
    text = environment.get_template(template).render(**values)
    lines = [line.rstrip() for line in text.strip().splitlines()]
    kept = [line for line, before in zip(lines, ["", *lines], strict=False) if line or before]
    return "\n".join(kept) + "\n"


def _environment(autoescape: bool = False) -> Environment:
    return Environment(
        loader=PackageLoader("cxr14.report"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def as_cell(text: str) -> str:
    """Return the text of a cell of a Markdown table: one line, without bars and emphasis."""
    return " ".join(text.split()).replace("|", "\\|").replace("*", "\\*") or " "


def as_html(markdown: str) -> str:
    """Return a self-contained page of a card; HTML in the Markdown is escaped."""
    converter = MarkdownIt("commonmark", {"html": False}).enable("table")
    body = converter.render(markdown).replace("<table>", '<div class="scroll" tabindex="0"><table>')
    body = body.replace("</table>", "</table></div>").replace('.md">', '.html">')
    title = markdown.partition("\n")[0].removeprefix("# ")
    page = _environment().get_template("card.html")
    return page.render(title=title, body=body)
