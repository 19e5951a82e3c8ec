"""The page in headless Chromium: no fault, no request, tables, slider, menus, accessibility."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr14.localization.heatmaps import heat_of, read_heatmaps
from cxr14.localization.overlap import hot_regions
from tests.report.images import SIZE

SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def address(pages, tmp_path_factory) -> str:
    """Where the page of phantoms lies."""
    path: Path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(pages["phantoms"])
    return path.as_uri()


@pytest.fixture(scope="module")
def opened(browser, address) -> Iterator[tuple[Any, list[str]]]:
    """The page as opened, and the list that what it complains of or asks for is added to."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    faults: list[str] = []

    def note(text: str) -> None:
        if text != address and not text.startswith("data:"):
            faults.append(text)

    page.on("console", lambda message: note(message.text))
    page.on("pageerror", lambda error: note(str(error)))
    page.on("request", lambda request: note(request.url))
    page.goto(address)
    page.evaluate("window.charts")
    yield page, faults
    page.close()
    assert faults == [], "after the clicks of all tests"


@pytest.fixture
def page(opened):
    """The page; tests leave it as they like."""
    return opened[0]


def test_the_page_complains_of_nothing_and_asks_for_nothing(opened):
    _, faults = opened
    assert faults == []


def test_every_chart_is_drawn(page):
    drawn = page.locator("figure.chart .vega svg").count()
    assert drawn == page.locator("figure.chart").count() > 10


def test_a_click_on_a_header_sorts_the_table_and_another_one_reverses_it(page):
    table = page.locator("#classification table.sortable").first
    page.locator("#classification details").evaluate_all(
        "all => all.forEach(d => { d.open = true })"
    )
    header = table.locator("th").nth(3)
    cells = "rows => rows.map(row => row.cells[3].firstChild.textContent)"
    for order in ("ascending", "descending"):
        header.locator("button").click()
        assert header.get_attribute("aria-sort") == order
        values = [float(v) for v in table.locator("tbody tr").evaluate_all(cells) if v != "–"]
        assert len(set(values)) > 1
        assert values == sorted(values, reverse=order == "descending")


def test_the_slider_changes_what_is_drawn(page):
    gallery = page.locator(".gallery")
    drawn = gallery.locator(".group:visible .detections")
    inner = "groups => groups.map(group => group.innerHTML)"
    before, slider = drawn.evaluate_all(inner), gallery.locator("input[type=range]")
    assert slider.input_value() == "180"
    slider.focus()
    for _ in range(60):
        slider.press("ArrowLeft")
    assert gallery.locator("output").inner_text() == "120"
    assert "At heat > 120" in gallery.locator(".count").inner_text()
    assert drawn.evaluate_all(inner) != before


def test_the_label_and_the_alternative_text_of_a_tile_are_of_the_boxes_drawn(page):
    gallery = page.locator(".gallery")
    texts = "all => all.map(t => t.querySelector('.view').getAttribute('aria-label'))"
    for threshold in ("180", "90"):
        gallery.locator("input[type=range]").evaluate(
            "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')) }",
            threshold,
        )
        tiles = gallery.locator(".group:visible .tile")
        outcomes = tiles.locator(".hit, .miss").all_inner_texts()
        numbers = tiles.evaluate_all("all => all.map(t => t.querySelectorAll('.detected').length)")
        for text, outcome, number in zip(tiles.evaluate_all(texts), outcomes, numbers, strict=True):
            assert text.endswith(f": {outcome}; 1 ground-truth and {number} detected boxes")


@pytest.mark.parametrize("threshold", [0, 60, 127, 180, 240, 254])
def test_detected_boxes_are_those_of_the_pipeline_at_every_threshold(page, written, threshold):
    keys, grids = read_heatmaps(written["phantoms"] / "localization/resnet50/heatmaps.npz")
    heat = heat_of(grids, SIZE)
    page.locator(".gallery input[type=range]").evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')) }",
        str(threshold),
    )
    read = "tiles => tiles.map(t => [t.querySelector('.file').textContent, t.boxes])"
    shown = page.locator(".gallery .group:visible .tile").evaluate_all(read)
    assert len(shown) == 6
    finding = page.locator(".gallery .group:visible b").first.inner_text()
    for name, boxes in shown:
        chosen = (keys["image"] == name.strip("· ")) & (keys["finding"] == finding)
        expected = hot_regions(heat[np.flatnonzero(chosen)], threshold).boxes
        assert sorted(map(tuple, boxes)) == sorted(map(tuple, expected.tolist()))


def test_the_menu_of_findings_shows_another_group(page):
    gallery = page.locator(".gallery")
    gallery.locator(".findings").select_option("1")
    assert gallery.locator(".group:visible").count() == 1
    assert gallery.locator(".group:visible b").first.inner_text() == "Nodule"


def test_the_menu_of_backbones_hides_one_in_every_chart_of_them(page):
    chart = page.locator("#overview figure.chart")
    marks = chart.locator("svg .mark-symbol path")
    assert marks.count() == 2
    page.locator(".filter input[value=alexnet]").uncheck()
    page.wait_for_function("document.querySelectorAll('#overview .mark-symbol path').length === 1")
    page.locator(".filter input[value=alexnet]").check()
    page.wait_for_function("document.querySelectorAll('#overview .mark-symbol path').length === 2")


def test_the_menu_of_a_chart_changes_its_score(page):
    chart = page.locator("#classification figure.chart").first
    before = chart.locator("svg").inner_html()
    chart.locator("select[data-parameter=measure]").select_option("average_precision")
    page.wait_for_function(
        "old => document.querySelector('#classification .chart svg').innerHTML !== old", arg=before
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(browser, address, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = browser.new_page(color_scheme=scheme)
    page.goto(address)
    page.evaluate("window.charts")
    violations = axe.run(page).response["violations"]
    page.close()
    serious = [rule for rule in violations if rule["impact"] in SERIOUS]
    assert json.dumps([[rule["id"], rule["nodes"][0]["html"]] for rule in serious]) == "[]"


def test_a_phone_shows_the_page_without_scrolling_sideways(browser, address):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(address)
    page.evaluate("window.charts")
    width = page.evaluate("document.documentElement.scrollWidth")
    page.close()
    assert width <= 390


def test_without_scripts_heat_boxes_and_tables_are_still_there(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.locator("noscript").first.is_visible()
    assert page.locator(".gallery img.heat").count() == page.locator(".gallery .tile").count() == 12
    assert page.locator(".gallery rect.detected").count() > 0
    context.close()
