"""Model cards and data cards: headings, numbers with intervals, labels of phantoms, HTML."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from cxr14.datasets.records import PHANTOM_NOTE, Source
from cxr14.io import sha256, write_json
from cxr14.labels import CLASSES, LABEL_COLUMNS
from cxr14.report.cards import Facts, as_html, data_card, model_card, read_facts, write_cards
from cxr14.report.summary import Results, read_results
from tests.report.written import AREAS, write_results
from tests.sources import OFFICIAL, OWN_SPLIT, PHANTOM

MITCHELL = [
    *("Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data"),
    *("Quantitative analyses", "Ethical considerations", "Caveats and recommendations", "Licence"),
]
GEBRU = [
    *("Motivation", "Composition", "Collection process", "Preprocessing, cleaning, labelling"),
    *("Uses", "Distribution", "Maintenance"),
]
CSV = Source("csv", phantom=False, official_split=False)
SOURCES = {"phantom": PHANTOM, "nih": OFFICIAL, "folder": OWN_SPLIT, "csv": CSV}
HASH = "0123456789abcdef" * 4


def write_facts(root: Path) -> None:
    """Write what the cards read beside the results."""
    labels = {name: 10 + number for number, name in enumerate(LABEL_COLUMNS)}
    sizes = {"train": 1700, "val": 260, "test": 540}
    parts = {
        n: {"images": size, "patients": size // 2, "labels": labels} for n, size in sizes.items()
    }
    counts = {"all": parts, "with_pixels": parts, "packaged_table": 1, "packaged_boxes": 0}
    write_json(root / "metrics/patient_split.json", counts)
    known = {"male": 0.5625, "age_mode": 52, "age_oldest": 95, "age_missing": 3, "no_finding": 0.5}
    write_json(root / "metrics/eda.json", {"images": 2500, "patients": 1250, "train_val": known})
    cache = {"images": 2480, "size": 224, "skipped": 20, "inverted": 7}
    write_json(root / "metrics/preprocess.json", cache)
    for name in AREAS:
        model = {"input_size": 112, "parameters": 2_500_000, "epochs": 6, "best_epoch": 5}
        model |= {"classes": [*CLASSES], "weights_sha256": HASH, "run_identity": "of the training"}
        model["head"] = {"transition_channels": 256, "pooling": "avg", "output_stride": 32}
        train = {"optimizer": "adamw", "learning_rate": 0.002, "batch_size": 32, "seed": 14}
        loss = {"name": "cross_entropy", "weighting": "batch"}
        model["params"] = {"model": {"weights": "none"}, "loss": loss, "train": train}
        write_json(root / "models" / name / "model.json", model)


@pytest.fixture(scope="module")
def projects(tmp_path_factory) -> dict[str, Path]:
    """A project by source; leave their files as they are."""
    root = tmp_path_factory.mktemp("cards")
    for name, source in SOURCES.items():
        write_results(root / name, source)
        write_facts(root / name)
    return {name: root / name for name in SOURCES}


def read(
    projects: dict[str, Path], source: str, mapping: str | None = None
) -> tuple[Results, Facts]:
    root = projects[source]
    return read_results(root, list(AREAS)), read_facts(root, list(AREAS), mapping)


def headings(card: str) -> list[str]:
    return re.findall("^## (.+)$", card, re.MULTILINE)


def section(card: str, heading: str) -> str:
    """The text below a heading, to the next of the same or a higher level."""
    return re.split("^#{2,3} ", card.partition(f"# {heading}\n")[2], flags=re.MULTILINE)[0]


def test_a_model_card_has_the_headings_of_mitchell(projects) -> None:
    assert headings(model_card(*read(projects, "nih"), "resnet50")) == MITCHELL


@pytest.mark.parametrize("source", SOURCES)
def test_a_data_card_of_each_source_has_the_headings_of_gebru(projects, source: str) -> None:
    card = data_card(*read(projects, source))
    assert headings(card) == GEBRU
    assert all(section(card, heading).strip() for heading in GEBRU)
    assert "| train | 1,700 | 850 | 1,700 | 850 |" in section(card, "Composition")


@pytest.mark.parametrize(
    ("heading", "cell"),
    [
        ("Means", "| AUROC, mean over findings | .810 (.790–.830) | .500 |"),
        ("Findings", "| Mass | 41 | .224 | .810 (.790–.830) | .335 (.315–.355)"),
        ("Other backbones of the run", "| resnet50 − alexnet | +.090 \\* (+.040 to +.140) |"),
        ("Subgroups", "| sex F | 100 | 60 | 13 | −.050 (−.070–−.030)"),
        ("Calibration", "| mean | .300 (.280–.320) | – | .200 (.180–.220) | .100 (.080–.120)"),
        ("Localization against controls", "| random map | .105 (.095–.115)"),
        ("Localization against controls", "+.310 (−.010 to +.630)"),
        ("Training data", "| Hernia | 23 | 23 | 23 |"),
    ],
)
def test_scores_are_those_of_the_metrics_with_intervals(projects, heading: str, cell: str) -> None:
    assert cell in section(model_card(*read(projects, "nih"), "resnet50"), heading)


def test_a_finding_without_a_score_says_why(projects) -> None:
    findings = section(model_card(*read(projects, "nih"), "resnet50"), "Findings")
    (row,) = [line for line in findings.splitlines() if line.startswith("| Hernia")]
    assert row.endswith("| – | no positives in test |")


def test_a_card_of_phantoms_says_so_first_and_at_every_table_of_scores(projects) -> None:
    phantom, real = (model_card(*read(projects, name), "alexnet") for name in ("phantom", "nih"))
    assert PHANTOM_NOTE in phantom.split("\n## ")[0].lower()
    analyses = phantom.partition("## Quantitative analyses")[2].partition("## Ethical")[0]
    captions = re.findall(r"^\*(.+)\*$", analyses, re.MULTILINE)
    assert len(captions) == 6
    assert all(PHANTOM_NOTE in caption for caption in captions)
    assert PHANTOM_NOTE not in real.lower()
    assert "Not a medical device" in real


def test_a_card_without_boxes_says_so_and_a_flagged_one_too(projects) -> None:
    results, facts = read(projects, "nih")
    results.localize["alexnet"]["boxed_images"] = 0
    card = model_card(results, facts, "alexnet")
    assert "nothing to score" in section(card, "Localization against controls")
    assert "A heatmap shows what the network used" in card
    results.tables["sanity_check"]["unchanged"] = 1
    assert "A heatmap shows what the network used" not in model_card(results, facts, "resnet50")


def test_a_reference_group_is_named_and_few_findings_are_counted(projects) -> None:
    results, facts = read(projects, "nih")
    groups = results.tables["subgroups"]
    results.tables["subgroups"] = pd.concat([groups, groups[:1].assign(group="M", findings=2)])
    groups_of_card = section(model_card(results, facts, "alexnet"), "Subgroups")
    (row,) = [line for line in groups_of_card.splitlines() if line.startswith("| sex M")]
    assert row.startswith("| sex M | 100 | 60 | 2 |")
    assert "| reference |" in row


def test_a_ready_mapping_brings_its_notes_and_another_one_does_not(projects) -> None:
    assert "CheXpert (Irvin et al. 2019" in data_card(*read(projects, "csv", "chexpert"))
    own = data_card(*read(projects, "csv", "/home/user/clinic.yaml"))
    assert "/home/user" not in own
    assert "the user alone" in own


def test_the_cards_are_written_as_markdown_and_html(projects, tmp_path: Path) -> None:
    write_cards(*read(projects, "phantom"), tmp_path)
    stems = {path.stem for path in tmp_path.iterdir()}
    assert stems == {"model_alexnet", "model_resnet50", "data_phantom"}
    text = (tmp_path / "model_alexnet.md").read_text()
    assert HASH in text
    assert sha256(projects["phantom"] / "evaluation/alexnet/decision.json") in text
    assert text.count("\n\n\n") == 0


class Page(HTMLParser):
    """Collects headings, cells and addresses; every tag has to be closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.links: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("href", "src")]
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)


def test_the_page_of_a_card_holds_its_headings_and_cells_and_loads_nothing(projects) -> None:
    card = model_card(*read(projects, "phantom"), "alexnet")
    page = Page(as_html(card))
    assert page.texts["h2"] == MITCHELL
    assert page.texts["title"] == ["Model card: alexnet"]
    assert ".720 (.700–.740)" in page.texts["td"]
    assert set(page.links) == {"https://arxiv.org/abs/1810.03993", "data_phantom.html"}


def test_html_in_a_name_is_escaped() -> None:
    page = as_html("# Model card: <b>bold</b>\n\n<script>alert(1)</script>\n")
    assert "<script>" not in page
    assert "<b>" not in page
