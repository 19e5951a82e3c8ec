"""Pictures of the app: the radiograph with heatmap and boxes (SVG), the findings (Vega-Lite)."""

import base64
import io
from collections.abc import Iterable
from html import escape
from typing import Final

import altair as alt
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from cxr14.console import MISSING
from cxr14.figures.overlays import DETECTED, GROUND_TRUTH, HEAT
from cxr14.figures.style import BLUE, ORANGE, display_name
from cxr14.localization.overlap import Boxes

GROUND_TRUTH_BOX: Final = GROUND_TRUTH
DETECTED_BOX: Final = DETECTED[0]
CALLED: Final = {"called": ORANGE, "not called": BLUE, "no threshold": "#9a9a9a"}
SELECTION: Final = "chosen"
MUTED = "#8a8a8a"  # on white and on black
ROW, AROUND = 25, 92  # pixels of a finding in the chart, and of legend and axis
RIGHT = 1.23  # of the chart, where the probabilities are written
PIXELS = 896  # of the drawing, per side

Layer = tuple[str, str, Boxes]
"""Colour, name, and boxes (K, 4)."""


def overlay(
    picture: bytes,
    heat: npt.NDArray[np.float32],
    opacity: float,
    layers: Iterable[Layer],
    description: str,
) -> str:
    """Draw a radiograph with a heatmap and boxes, as an HTML image.

    Args:
        picture: JPEG of the radiograph, square.
        heat: (S, S), 0–255.
        opacity: of the hottest pixel, 0 to 1.
        layers: boxes in 0–S.
        description: for readers who do not see it.
    """
    size = len(heat)
    parts = [_image(picture, "jpeg", size), _image(_png_of(heat, opacity), "png", size)]
    for colour, _, boxes in layers:
        line = "" if colour == GROUND_TRUTH_BOX else ' stroke-dasharray="9 5"'
        for x, y, width, height in boxes:
            box = f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"'
            parts.append(f'{box} stroke="#000" stroke-opacity=".55" stroke-width="5.5"/>')
            parts.append(f'{box} stroke="{colour}" stroke-width="3"{line}/>')
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{PIXELS}" height="{PIXELS}" '
        f'viewBox="0 0 {size} {size}" fill="none"><style>rect {{vector-effect: '
        f"non-scaling-stroke}}</style>{''.join(parts)}</svg>"
    )
    return f'<img class="radiograph" alt="{escape(description)}" src="{_data(svg, "svg+xml")}">'


def _data(content: bytes | str, kind: str) -> str:
    content = content.encode() if isinstance(content, str) else content
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _image(content: bytes, kind: str, size: int) -> str:
    return f'<image href="{_data(content, kind)}" width="{size}" height="{size}"/>'


def _png_of(heat: npt.NDArray[np.float32], opacity: float) -> bytes:
    """Return a heatmap as PNG: the colour of the contact sheets, opaque by heat."""
    colours = HEAT(heat / 255, bytes=True)
    colours[..., 3] = (heat * opacity).round().astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colours).save(buffer, "PNG")
    return buffer.getvalue()


def legend(layers: Iterable[Layer]) -> str:
    """Return the legend of the boxes as HTML."""
    entries = (
        f'<span><i style="border-color:{colour}"></i>{escape(name)}</span>'
        for colour, name, _ in layers
    )
    return f'<div class="legend">{"".join(entries)}</div>'


def _percent(share: float) -> str:
    return MISSING if np.isnan(share) else f"{share:.0%}"


def findings_chart(table: pd.DataFrame, chosen: str) -> alt.LayerChart | alt.FacetChart:
    """Draw calibrated probabilities, thresholds and spread; a click selects a finding.

    Args:
        table: finding, probability, threshold, low, high, spread, decision (see CALLED) and
            labelled (whether the records say so), from top to bottom.
        chosen: the finding whose name is bold.
    """
    rows = table.assign(
        name=table["finding"].map(display_name), percent=table["probability"].map(_percent)
    )
    names = alt.Axis(
        labelLimit=170,
        labelFontSize=13,
        labelFontWeight=alt.when(alt.datum["value"] == display_name(chosen))
        .then(alt.value("bold"))
        .otherwise(alt.value("normal")),
        labelOverlap=False,
        ticks=False,
        domain=False,
    )
    scale = alt.Scale(domain=[0, RIGHT], nice=False)
    shares = alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".0%", domain=False)
    x = alt.X("probability:Q", scale=scale, axis=shares, title="calibrated probability")
    tips = [alt.Tooltip("name:N", title="finding"), alt.Tooltip("decision:N")]
    tips += [
        alt.Tooltip(f"{name}:Q", format=".3f") for name in ("probability", "threshold", "spread")
    ]
    base = alt.Chart(rows).encode(y=alt.Y("name:N", sort=None, title=None, axis=names))
    present = [name for name in CALLED if name in set(rows["decision"])]
    colours = alt.Scale(domain=present, range=[CALLED[name] for name in present])
    key = alt.Legend(orient="top", symbolType="square")
    colour = alt.Color("decision:N", title=None, scale=colours, legend=key)
    click = alt.selection_point(name=SELECTION, fields=["finding"], on="click", empty=False)
    whole_row = base.mark_bar(opacity=0.001, height=ROW).encode(
        x=alt.datum(0), x2=alt.datum(RIGHT), tooltip=tips
    )
    label = base.transform_filter("datum.labelled").mark_point(
        shape="diamond", filled=True, size=70, opacity=1, color="#00a3b4"
    )
    percent = base.mark_text(align="right", fontSize=12, color=MUTED)
    spread = base.mark_rule(color=MUTED, strokeWidth=2).encode(x="low:Q", x2="high:Q")
    return alt.layer(
        base.mark_bar(height=13, cornerRadiusEnd=3).encode(x=x, color=colour),
        *([spread] if rows["spread"].notna().any() else []),
        base.mark_tick(thickness=3, height=21, color=MUTED).encode(x="threshold:Q"),
        *([label.encode(x=alt.datum(1.045))] if rows["labelled"].any() else []),
        percent.encode(x=alt.datum(RIGHT), text="percent:N"),
        whole_row.add_params(click),
    ).properties(height=ROW * len(rows) + AROUND)
