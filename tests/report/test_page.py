"""The page."""

import base64
import re
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from cxr14.datasets.records import PHANTOM_NOTE
from cxr14.labels import CLASSES, FINDINGS
from cxr14.report.elements import Details, Section, Subtitle, Table, read_figure
from cxr14.report.localization import localization_tables, similarity
from cxr14.report.page import read_and_render, render_page
from cxr14.report.sections import (
    calibration_section,
    classification_section,
    difference_parts,
    operating_section,
)
from cxr14.report.subgroups import clearest, clearest_table, gaps_with_interval
from cxr14.report.summary import read_results
from tests.report.images import LOCALIZE
from tests.report.written import write_results
from tests.sources import PHANTOM

LARGEST_PAGE = 8_000_000  # bytes
OUTSIDE = re.compile(r"""(?:https?:)?//[\w.]|url\(|@import|\b(?:src|href)\s*=\s*["'](?!data:|#)""")
VOID = {"meta", "img", "br", "input"}
SCRIPT = re.compile(r"<script(?: [^>]*)?>.*?</script>", re.DOTALL)


class Reader(HTMLParser):
    """Collects tags, links and text, and checks that every tag is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.links, self.anchors, self.captions = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        found = dict(attrs)
        self.links += [found["href"]] if "href" in found else []
        self.anchors += [found["id"]] if "id" in found else []

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)  # of SVG

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] == "figcaption":
            self.captions.append(data)


def read(page):
    reader = Reader()
    reader.feed(SCRIPT.sub("", page))
    assert reader.open == []
    return reader


def rendered(*parts):
    """A page of these parts alone."""
    return render_page("title", [Section("a", "b", "c", parts)])


@pytest.fixture(scope="module")
def page(pages):
    """Of phantoms."""
    return pages["phantoms"]


@pytest.fixture(scope="module")
def real_page(pages):
    """Of real pixels and the official split."""
    return pages["official"]


def test_the_page_holds_every_section_the_caution_and_the_pictures(page):
    reader = read(page)
    assert reader.anchors == [
        *("content", "overview", "data", "classification", "calibration", "operating"),
        *("subgroups", "localization", "heat-marks", "faithfulness", "limits"),
    ]
    assert page.count('class="tile"') >= 12 + 2  # gallery, first screen
    assert reader.tags.count("img") == 2 * page.count('class="tile"') + 7  # figures
    assert PHANTOM_NOTE[1:] in reader.text
    assert all(name in reader.text for name in ("alexnet", "resnet50", "baseline"))
    assert all(name.replace("_", " ") in reader.text for name in FINDINGS)


def test_the_first_screen_says_what_was_run(page):
    text = " ".join(read(page).text.split())
    first = text[: text.index("These charts show")]
    assert "236 images of 142 patients" in first
    assert "24 images with pixels of 24 records" in first
    assert "train 8, val 4" in first
    assert "none differ from the default" in first
    for topic in ("Best model", "Calibration", "Localization", "Subgroups"):
        assert topic in first


def test_params_that_differ_from_the_default_are_named(tmp_path):
    results = read_results(tmp_path, write_results(tmp_path, PHANTOM))
    params = tmp_path / "params.yaml"
    text = params.read_text().replace("weighting: batch", "weighting: none")
    params.write_text(text.replace("connections: 4", "connections: 8"))
    text = read_and_render(tmp_path, results, LOCALIZE)
    assert "1 differs from the default" in text
    assert "<code>loss.weighting: none</code> <small>(default batch)</small>" in text
    assert "connections" not in text.partition("<section")[0]


def test_the_hashes_of_the_data_change_with_the_data(tmp_path, page):
    results = read_results(tmp_path, write_results(tmp_path, PHANTOM))
    split = tmp_path / "data/split/split.parquet"
    table = pd.read_parquet(split)
    table.loc[table.index[-1], "split"] = "val"
    table.to_parquet(split)
    hashes = re.compile(r'<code title="MD5 of (\S+)">(\w+)</code>')
    before, after = (
        dict(hashes.findall(p)) for p in (page, read_and_render(tmp_path, results, LOCALIZE))
    )
    assert {name for name in before if before[name] != after[name]} == {
        str(split.relative_to(tmp_path))
    }


def test_the_contents_lead_to_every_section(page):
    reader = read(page)
    within = [link for link in reader.links if not link.startswith("cards/")]
    assert within == [f"#{anchor}" for anchor in reader.anchors if anchor != "heat-marks"]


def test_the_page_leads_to_the_cards_that_the_stage_writes(page):
    cards = [link for link in read(page).links if link.startswith("cards/")]
    assert cards == [
        "cards/model_alexnet.html",
        "cards/model_resnet50.html",
        "cards/data_phantom.html",
    ]


def test_the_page_refers_to_nothing_outside_itself(page):
    markup = SCRIPT.sub("", page)
    markup = re.sub(r"base64,[\w+/=]+", "", markup).replace('href="cards/', 'href="#')
    assert OUTSIDE.search(markup) is None
    assert OUTSIDE.search('<img src="a.png">')
    assert OUTSIDE.search("url(https://example.org)")
    assert re.search(r"<script[^>]*\bsrc\b", page) is None
    assert "link" not in read(page).tags


def test_the_page_is_small(page):
    assert len(page.encode()) < LARGEST_PAGE


def test_the_page_fits_a_phone(page):
    assert '<meta name="viewport" content="width=device-width' in page
    assert page.count('<div class="scroll') == read(page).tags.count("table") + 7  # figures


def test_the_same_results_give_the_same_page(page, phantoms, written):
    assert read_and_render(written["phantoms"], phantoms, LOCALIZE) == page


def test_every_caption_says_that_these_are_phantoms_and_none_does_on_real_pixels(page, real_page):
    captions = read(page).captions
    assert len(captions) == page.count("<figcaption>") > 30
    assert [text for text in captions if PHANTOM_NOTE not in text] == []
    assert page.count('<span class="note">phantom</span>') == page.count('<div class="view"') > 12
    assert PHANTOM_NOTE not in real_page
    assert 'class="note"' not in real_page


def test_every_section_tells_how_to_read_it_in_two_sentences(page, real_page):
    for text in (page, real_page):
        told = re.findall(r'<p class="how">(.*?)</p>', text)
        assert len(told) == text.count("<section ")
        assert [how for how in told if len(re.findall(r"[.?](?: [A-Z]|$)", how)) != 2] == []


def test_every_table_is_near_its_n(page):
    for text in re.findall(r'<figure class="table">.*?</figure>', page, re.DOTALL):
        assert re.search(r"\bn\b|n_pairs|images|positives", text), text


def test_text_is_escaped_in_cells_captions_and_names(tmp_path):
    table = Table(("<i>", "a"), [("<script>alert(1)</script>", "R&D\n<b>")], "<u>")
    path = tmp_path / 'Mass_&_"Nodule".png'
    Image.new("L", (4, 4)).save(path)
    reader = read(
        text := rendered(
            table, "<em>", Subtitle("<q>"), read_figure(path, 'Mass & "Nodule"', "<s>")
        )
    )
    assert {"script", "i", "b", "u", "em", "q", "s"}.isdisjoint(reader.tags)
    assert "<script>alert(1)</script>" in reader.text
    assert 'alt="Mass &amp; &#34;Nodule&#34;"' in text


def test_a_large_picture_is_put_in_smaller_and_still_is_the_picture(tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, (600, 600), dtype=np.uint8)
    smooth = ndimage.gaussian_filter(noise.astype(float), 1.5)
    path = tmp_path / "Mass.png"
    Image.fromarray(smooth.astype(np.uint8)).save(path, compress_level=0)
    held = re.fullmatch(r"data:image/webp;base64,([\w+/=]+)", read_figure(path, "Mass", "n").source)
    content = base64.b64decode(held[1])
    assert len(content) < path.stat().st_size / 4
    shown = np.asarray(Image.open(BytesIO(content)).convert("L"), float)
    assert np.abs(shown - smooth).mean() < 3


def test_what_follows_a_line_break_is_set_small_below():
    text = rendered(Table(("a", "b"), [(".810\n.790–.830", "–")], "5 % of n"))
    assert "<td>.810<br><small>.790–.830</small></td>\n<td>–</td>" in text
    assert "5\N{NO-BREAK SPACE}% of n" in text


def test_rows_and_columns_have_their_classes_and_details_their_parts():
    table = Table(("a", "b"), [("1", "2"), ("3", "4")], "n", ["", "mean"], ["text"])
    text = rendered(Details("more", ["words", table]))
    assert "<summary>more</summary>\n<p>words</p>" in text
    assert '<th class="text">a</th>\n<th>b</th>' in text
    assert '<tr>\n<td class="text">1</td>' in text
    assert '<tr class="mean">\n<td class="text">3</td>' in text


def test_a_finding_without_a_score_is_a_dash_with_its_reason(page):
    scores = page[page.index("Table: scores of resnet50") :]
    row = re.search(r"<tr>\s*<td>Hernia</td>\s*<td>0</td>.*?</tr>", scores, re.DOTALL)
    assert row
    assert row[0].count("<td>–</td>") == 6
    assert "no positives in test" in row[0]


def test_what_a_network_was_not_trained_on_is_called_so(tmp_path):
    classes = tuple(name for name in CLASSES if name not in ("Mass", "Edema"))
    results = read_results(tmp_path, write_results(tmp_path, PHANTOM, classes))
    sections = (classification_section, calibration_section, operating_section)
    scores = (part for section in sections for part in section(results).parts)
    text = rendered(*scores, *localization_tables(results))
    # Two rows of scores; two rows of two backbones; Mass in the heads of three tables of boxes.
    assert text.count("not trained") == 2 + 2 * 2 + 3


def test_controls_and_the_cross_fitted_row_stand_in_wangs_table(page):
    boxes = page[page.index("accuracy and false boxes of resnet50") :]
    table = re.search(r"<tbody>.*?</tbody>", boxes, re.DOTALL)[0]
    rows = [re.sub(r"<[^>]+>", " ", row).split() for row in table.split("</tr>")]
    assert rows[0][:5] == [".1", "accuracy", "resnet50", ".515", ".495–.535"]
    assert rows[1][:3] == ["resnet50,", "cross-fitted", ".645"]
    assert [row[0] for row in rows[2:5]] == ["random", "centre", "mean"]
    assert rows[2][2:4] == [".105", ".095–.115"]
    assert rows[5][:3] == ["AFP", "resnet50", "1.275"]
    assert rows[7][2] == "3.125"
    assert len(rows) == 5 * 2 * 5 + 1


def test_a_method_that_does_not_change_with_the_weights_is_flagged(phantoms):
    assert similarity(phantoms, "resnet50") == "+.125\nn 31"
    phantoms.tables["sanity_check"]["unchanged"] = 1
    assert similarity(phantoms, "resnet50") == "+.125\nFLAGGED, unchanged"


def test_gaps_are_ordered_by_what_remains_of_them_at_the_end_nearest_zero(phantoms):
    """Mass differs by .010 ± .02, which may be chance; the group of three images has no AUROC."""
    ordered = clearest(gaps_with_interval(phantoms.of("gaps")))
    found = [(gap.row["group"], gap.measure, gap.row[gap.measure]) for gap in ordered]
    assert found == [("F × 60–79", "auroc", 0.155), ("F", "auroc", -0.05)]


def test_the_share_of_gaps_that_leave_out_zero_is_of_those_with_an_interval(phantoms):
    """Nulls were counted too, so that fewer seemed to than chance alone makes."""
    known = phantoms.of("gaps")[["auroc", "fpr", "mean_predicted_minus_prevalence"]]
    caption = clearest_table(phantoms).caption
    assert f"of the {known.notna().sum().sum()} gaps with an interval" in caption
    assert "2 exclude 0" in caption


def test_adjudicated_labels_are_shown_on_real_pixels_and_their_lack_is_explained(page, real_page):
    assert "No score here: simulated pixels show no reader" in page
    assert "<td>.845<br><small>.825–.865</small></td>\n<td>.825" in real_page
    assert "<td>+.035 *<br><small>+.015 to +.055</small></td>" in real_page


def test_one_backbone_has_nothing_to_be_compared_with(phantoms):
    phantoms.tables["differences"] = phantoms.tables["differences"][:0]
    (part,) = difference_parts(phantoms)
    assert "There is only one backbone" in part
