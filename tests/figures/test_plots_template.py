"""The frame of `dvc plots` pages."""

import re

import pytest
from dvc_render.html import render_html
from dvc_render.vega import VegaRenderer

from cxr14.figures.plots_template import main


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    path = tmp_path_factory.mktemp("frame") / "template.html"
    main(str(path))
    return path


def test_the_frame_has_one_place_for_the_plots(frame):
    text = frame.read_text()
    assert text.count("{plot_divs}") == 1
    assert "{scripts}" not in text


def test_nothing_is_loaded_from_outside(frame):
    text = frame.read_text()
    assert text.count("<script>") == text.count("</script>") == 3
    assert re.findall(r"<script[^>]*\bsrc\s*=", text) == []
    around = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert len(around) < 1500
    assert re.findall(r"https?:|\bsrc\s*=|<link\b", around) == []


def test_the_bundle_brings_what_the_plots_call(frame):
    assert "vegaEmbed" in frame.read_text()


def test_dvc_fills_the_frame_without_adding_a_reference(frame, tmp_path):
    points = [{"step": 0, "y": 1.0, "rev": "workspace"}, {"step": 1, "y": 2.0, "rev": "workspace"}]
    renderer = VegaRenderer(points, "loss.csv", x="step", y="y")
    render_html([renderer], tmp_path / "index.html", html_template=frame)
    page = (tmp_path / "index.html").read_text()
    assert "vegaEmbed('#loss_csv'" in page
    assert "{plot_divs}" not in page
    assert re.findall(r"<script[^>]*\bsrc\s*=", page) == []


def line(path, y="y"):
    points = [{"step": step, y: 1.0 + step, "rev": "workspace"} for step in range(2)]
    return VegaRenderer(points, path, x="step", y=y)


def test_the_page_groups_the_plots_and_leaves_out_those_of_a_flag(frame, tmp_path, browser):
    plots = ["plots/train/alexnet.csv", "metrics/evaluate/timm_x/roc.csv", "mine.csv"]
    plots.append("metrics/compare/differences.csv")
    renderers = [*map(line, plots), line("chexnext/metrics/noise/findings.csv", "phantom")]
    render_html(renderers, tmp_path / "index.html", html_template=frame)
    tab = browser.new_page()
    faults, requests = [], []
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto((tmp_path / "index.html").as_uri())
    tab.wait_for_selector("svg, canvas")
    assert tab.locator("main > details > summary").all_inner_texts() == [
        "Comparison of backbones (1)",
        "Training (1)",
        "Scores and boxes: timm_x (1)",
        "Other plots (1)",
    ]
    assert tab.locator("main > details[open]").count() == 1
    assert "chexnext_metrics_noise_findings_csv" in tab.locator("main > p").inner_text()
    assert faults == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)
