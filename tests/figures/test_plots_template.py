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
    assert text.count("</script>") == 1
    assert re.findall(r"<script[^>]*\bsrc\s*=", text) == []
    around = re.sub(r"<script.*</script>", "", text, flags=re.DOTALL)
    assert len(around) < 500
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
