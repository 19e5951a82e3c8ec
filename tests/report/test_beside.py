"""Published figures beside ours: never on phantoms, never across splits without saying so."""

import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from cxr14.labels import CLASSES
from cxr14.report import localization, published, score_charts, sections
from cxr14.report.page import read_and_render
from cxr14.report.published import (
    CHESTXRAY8_NETWORKS,
    CLASSIFICATION,
    IOBB,
    IOU,
    BoxTable,
    Column,
    auroc_header,
    auroc_rows,
    comparable,
    heading,
)
from cxr14.report.summary import read_results, summarise
from cxr14.report.terminal import published_table, summary_table
from tests.report.images import LOCALIZE
from tests.report.written import AREAS, write_results
from tests.sources import OFFICIAL

NAMES = {one.name for one in (*CLASSIFICATION, *IOBB, *IOU)} | {"W-CEL"}
MARK = 0.7654
"""Put in place of every published figure, it shows wherever one gets through."""


def marked(one):
    """The same column or table with MARK for every number."""
    if isinstance(one, Column):
        values = dict.fromkeys(one.auroc, MARK)
        return Column(one.name, one.source, one.split, one.images, values)
    accuracy, afp = (dict.fromkeys(v, (MARK,) * 8) for v in (one.accuracy, one.afp))
    return BoxTable(one.name, one.source, one.split, one.pairs, one.measure, accuracy, afp)


@pytest.fixture
def marks(monkeypatch):
    columns = tuple(map(marked, CLASSIFICATION))
    monkeypatch.setattr(published, "CLASSIFICATION", columns)
    for module in (sections, score_charts):
        monkeypatch.setattr(module, "CLASSIFICATION", columns)
    networks = tuple(map(marked, CHESTXRAY8_NETWORKS))
    monkeypatch.setattr(sections, "CHESTXRAY8_NETWORKS", networks)
    tables = {"iobb": tuple(map(marked, IOBB)), "iou": tuple(map(marked, IOU))}
    monkeypatch.setattr(localization, "PUBLISHED", tables)


def everything(root: Path) -> str:
    """All that the report writes and prints."""
    results = read_results(root, list(AREAS))
    note = results.source.caution
    console = Console(width=250)
    with console.capture() as captured:
        for printed in (summary_table(results, note), published_table(results)):
            if printed is not None:
                console.print(printed)
    summary = json.dumps(summarise(results))
    page = read_and_render(root, results, LOCALIZE)
    page = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)  # not the charts' data
    return page + captured.get() + summary


@pytest.mark.usefixtures("marks")
def test_no_published_figure_or_name_appears_with_phantoms(written):
    text = everything(written["phantoms"])
    assert ".765" not in text
    assert not [name for name in NAMES if name in text]


@pytest.mark.usefixtures("marks")
@pytest.mark.parametrize("kind", ["official", "own_split"])
def test_on_real_pixels_all_of_them_appear(written, kind):
    """So the test above can fail."""
    text = everything(written[kind])
    assert text.count(".765") > 14 * 6 + 8 * 5 + 8 * 5 * 4 + 8 * 7
    assert [name for name in NAMES if name not in text] == []


def test_columns_of_the_same_split_come_first_and_all_others_are_marked():
    columns = comparable(OFFICIAL, CLASSIFICATION[::-1])
    assert [column.split for column in columns] == ["official"] * 4 + ["expert", "random"]
    heads = [heading(OFFICIAL, column) for column in columns]
    assert heads[-1] == "CheXNet\nOTHER SPLIT: random split"
    assert heads[-2] == "CheXNeXt\nOTHER SPLIT: read by experts, 420 images"
    assert ["OTHER" in head for head in heads] == [False] * 4 + [True] * 2
    assert heads[3] == "Wang ResNet50\nofficial split, 25,596 images"


def test_on_a_split_of_our_own_every_published_column_is_of_another_split(own_split):
    heads = auroc_header(own_split)
    assert heads[:3] == (
        "finding",
        "positives",
        "resnet50 (ours)\nour own split by patient, 236 images",
    )
    assert len(heads) == 3 + len(CLASSIFICATION)
    assert all("OTHER SPLIT" in head for head in heads[3:])


def test_boxes_of_another_split_are_marked_in_their_row(official, own_split):
    for results, split in ((official, "official"), (own_split, "OTHER SPLIT: official")):
        table = localization.wang_table(results, "iobb", ("accuracy", "afp"))
        names = [row[2] for row in table.rows]
        assert names.count(f"Wang, ChestX-ray14\n{split} split") == 5 * 2
        assert names.count("Wang, ChestX-ray8\nOTHER SPLIT: random split") == 5 * 2
        assert "not the same measure" in table.caption  # the caveat on Wang's AFP


def test_ours_stand_beside_the_published_with_counts_and_intervals(official):
    rows = {row[0]: row[1:] for row in auroc_rows(official)}
    assert len(rows) == 15
    assert rows["Mass"][:3] == ("41", ".810\n.790–.830", ".693")
    assert rows["Hernia"][:3] == ("0", "–", ".872")
    assert rows["mean of 13"][1] == ".810\n.790–.830"


def test_published_means_are_over_the_findings_that_ours_could_score(official):
    """With Hernia, the easiest for Wang, his mean is .745."""
    *_, mean = auroc_rows(official)
    assert mean[3] == ".735"


def test_a_finding_that_was_not_trained_is_called_so_beside_the_published(tmp_path):
    classes = tuple(name for name in CLASSES if name != "Mass")
    results = read_results(tmp_path, write_results(tmp_path, OFFICIAL, classes))
    rows = {row[0]: row[1:] for row in auroc_rows(results)}
    assert rows["Mass"][:3] == ("–", "not trained", ".693")
    assert "mean of 12" in rows


def test_a_sample_of_the_official_test_part_says_that_it_is_one(official, own_split):
    assert "236 images of the official test split" in published.subset_note(official)
    assert published.subset_note(own_split) == ""
    for own in official.evaluate.values():
        own["images"] = 25_596
    assert published.subset_note(official) == ""


def test_the_terminal_shows_them_too_whole_on_eighty_columns_and_none_on_phantoms(
    official, own_split, phantoms
):
    for results in (official, own_split):
        console = Console(width=80)
        with console.capture() as captured:
            console.print(published_table(results))
        printed = captured.get()
        assert "…" not in printed
        assert max(map(len, printed.splitlines())) <= 80
        assert "OTHER" in printed
        assert printed.count(".790–.830") == 14
        assert ".924" in printed  # AE-CNN's Hernia
    assert published_table(phantoms) is None
