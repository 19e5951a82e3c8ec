"""The page."""

import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from cxr14.findings import BOXED, FINDINGS
from cxr14.report.page import box_rows, finding_rows, html_table, picture, render
from cxr14.report.summary import summarise

PHANTOM = {"source": "phantom", "phantom": True, "official_split": False}
OUTSIDE = re.compile(r"""(?:https?:)?//[\w.]|url\(|@import|\b(?:src|href)\s*=\s*["'](?!data:)""")
VOID = {"meta", "img"}


class Reader(HTMLParser):
    """Collects tags and text, and checks that every tag is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def png(tmp_path):
    path = tmp_path / 'Mass_&_"Nodule".png'
    Image.new("L", (4, 4)).save(path)
    return path


@pytest.fixture
def page(metrics, baseline, png):
    summary = summarise(metrics, baseline, PHANTOM)
    return render(summary, metrics, "Careful: <b> & co.", [png], [png, png])


def read(page):
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_the_page_holds_tables_pictures_and_the_caution(page):
    reader = read(page)
    assert reader.tags.count("table") == 3
    assert reader.tags.count("img") == 3
    assert "Careful: <b> & co." in reader.text
    assert all(name in reader.text for name in (*FINDINGS, "alexnet", "resnet50", "baseline"))


def test_the_page_refers_to_nothing_outside_itself(page):
    assert OUTSIDE.search(re.sub(r"base64,[\w+/=]+", "", page)) is None
    assert OUTSIDE.search('<img src="a.png">')
    assert OUTSIDE.search("url(https://example.org)")
    assert "script" not in read(page).tags
    assert "link" not in read(page).tags


def test_the_same_metrics_give_the_same_page(page, metrics, baseline, png):
    summary = summarise(metrics, baseline, PHANTOM)
    assert render(summary, metrics, "Careful: <b> & co.", [png], [png, png]) == page


def test_text_is_escaped_in_cells_and_names(png):
    table = html_table(("<i>", "a"), [("<script>alert(1)</script>", "R&D")])
    reader = read(table)
    assert reader.tags == ["table", "tr", "th", "th", "tr", "td", "td"]
    assert "<script>alert(1)</script>" in reader.text
    assert 'alt="Mass &amp; &quot;Nodule&quot;"' in picture(png)


def test_a_finding_without_a_score_is_a_dash(metrics):
    by_finding = {row[0]: row[1:] for row in finding_rows(metrics)}
    assert list(by_finding) == list(FINDINGS)
    assert by_finding["Mass"] == (".720", ".810")
    assert by_finding["Hernia"] == ("–", "–")


def test_boxes_are_counted_and_hits_are_listed_by_backbone(metrics):
    found = box_rows(metrics)
    assert [row[0] for row in found] == list(BOXED)
    assert found[0][1:] == ("1", "1.000", "1.000")
    assert found[1][1:] == ("1", ".000", ".000")


def test_a_limit_that_was_not_measured_is_a_dash(metrics):
    for own in metrics.values():
        del own["localize"]["iobb"]["t10"]
    assert box_rows(metrics)[0][1:] == ("1", "–", "–")


def test_what_a_network_was_not_trained_on_is_called_so(metrics):
    del metrics["resnet50"]["evaluate"]["findings"]["Mass"]
    for own in metrics.values():
        own["localize"]["n"]["Effusion"] = None
        own["localize"]["iobb"]["t10"]["accuracy"]["Effusion"] = None
    assert {row[0]: row[1:] for row in finding_rows(metrics)}["Mass"] == (".720", "not trained")
    assert {row[0]: row[1:] for row in box_rows(metrics)}["Effusion"] == ("not trained", "–", "–")
