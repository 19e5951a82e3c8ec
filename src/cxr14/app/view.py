"""What the page of the app shows, from top to bottom."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image

from cxr14.app import drawing
from cxr14.app.models import model_of, offered
from cxr14.app.radiographs import Radiograph, drop, of_file, of_split, split_images
from cxr14.datasets.archive_kinds import IMAGE_BYTES
from cxr14.errors import UserError, explain
from cxr14.figures.style import BLUE, display_name
from cxr14.labels import FINDINGS
from cxr14.localization.heatmaps import Grids, heat_of
from cxr14.localization.overlap import BOX, to_cache
from cxr14.preprocessing.decode import REMARKS
from cxr14.serving.description import PHANTOM_MODEL, ServingDescription
from cxr14.serving.files import Input
from cxr14.serving.predictor import Predictor
from cxr14.serving.results import order_lost, order_remark, score_inputs
from cxr14.serving.split_images import SplitImages

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

FILE, TEST_IMAGE, ANY = "A file", "A test image", "any finding"

LISTED = 1000
"""Maximum number of test images in the list; names of others can be typed."""

MARKDOWN = re.compile(r"[\\`*_\[\]$:<~]")
"""Characters that have a meaning in Streamlit's Markdown."""

STYLE = """<style>
.stMainBlockContainer {padding-top: 2rem; padding-bottom: 2rem; max-width: 1240px}
img.radiograph {width: 100%; display: block; border-radius: 6px; background: #000}
.legend {display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; font-size: .85rem; margin-top: .4rem}
.legend i {display: inline-block; width: 1rem; height: .75rem; border: 2.5px solid;
  margin-right: .4rem; background: #555; vertical-align: -1px}
.st-key-chart svg text {fill: currentColor}
.st-key-chart [data-testid=stElementToolbar] {display: none}
</style>"""


def show_page() -> None:
    """Show the whole page; an error that the user can fix is one sentence on it."""
    icon = Image.new("RGB", (32, 32), BLUE)  # Streamlit would fetch the picture of an emoji
    st.set_page_config("cxr14", icon, layout="wide", initial_sidebar_state="collapsed")
    st.html(STYLE)
    st.markdown("### cxr14: findings in a chest radiograph")
    banner = st.empty()
    banner.warning("**Not a medical device.**")
    try:
        _show(banner)
    except (UserError, OSError) as error:
        st.error(explain(error))


@st.cache_resource(show_spinner=False)
def _lock() -> threading.Lock:
    return threading.Lock()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Decode and compute for one session at a time, which bounds the memory."""
    with _lock():
        yield


def _show(banner: "DeltaGenerator") -> None:
    left, right = st.columns([6, 5], gap="large")
    with right:
        model = st.selectbox("Model", offered(), key="model")
        with st.spinner("Loading the networks …"), one_at_a_time():
            predictor = model_of(model).predictor
        method = st.selectbox("Heatmaps by", predictor.methods, key="method")
    banner.warning(f"**Not a medical device.** {_caution(predictor.description)}")
    with left:
        radiograph = _choose_radiograph(predictor.description.cached_size)
    if radiograph is None:
        return
    with st.spinner("Computing …"):
        table = scored(model, radiograph.key, radiograph.input)
    if not _accepted(radiograph, table):
        return
    picture, findings = st.columns([6, 5], gap="large")
    with findings:
        finding = _show_findings(predictor, radiograph, table)
    with picture:
        _show_picture(model, method, finding, radiograph)


def _caution(description: ServingDescription) -> str:
    if description.phantom:
        return f"The model is {PHANTOM_MODEL}."
    return description.of_source.caution


def _choose_radiograph(size: int) -> Radiograph | None:
    """Show the controls of the image; return it, or None if none is chosen."""
    known = split_images()
    kinds = [TEST_IMAGE, FILE] if known else [FILE]
    kind = st.segmented_control("Image", kinds, default=kinds[0], required=True, key="kind")
    if known and kind == TEST_IMAGE:
        return _choose_test_image(known, size)
    return _choose_file(size)


def _choose_test_image(known: SplitImages, size: int) -> Radiograph | None:
    columns = st.columns(2)
    findings = [ANY, *(name for name in FINDINGS if name in known.records)]
    finding = columns[0].selectbox("With", findings, format_func=display_name, key="with")
    names = known.tested(None if finding == ANY else finding)
    label = f"{len(names):,} test images, those with boxes first"
    image = columns[1].selectbox(
        label, names[:LISTED], accept_new_options=True, key=f"image with {finding}"
    )
    radiograph = of_split(known, image) if image else None
    if radiograph and radiograph.size != size:
        raise UserError(
            f"the model takes images of {size} px, and data/cache holds {radiograph.size} px; "
            f"choose another model or a file"
        )
    return radiograph


def _choose_file(size: int) -> Radiograph | None:
    """Show the uploader; decode a new file, and keep the result instead of the file."""
    state = st.session_state
    number = state.setdefault("uploads", 0)
    label = f"PNG, JPEG or DICOM, up to {IMAGE_BYTES // 2**20} MB; it stays on this machine"
    file = st.file_uploader(label, key=f"upload {number}")
    if file is not None:
        state["uploads"], state["radiograph"], state["refusal"] = number + 1, None, None
        try:
            with one_at_a_time():
                state["radiograph"] = of_file(file.getvalue(), file.name, size)
        except UserError as error:
            state["refusal"] = explain(error)
        finally:
            drop(file)
        st.rerun()  # with an empty uploader
    if state.get("refusal"):
        st.error(f"This file cannot be used: {state['refusal']}.")
    radiograph: Radiograph | None = state.get("radiograph")
    if radiograph and radiograph.size != size:
        st.info("This model takes images of another size; upload the file again.")
        return None
    return radiograph


@st.cache_data(show_spinner=False, max_entries=256)
def scored(model: str, key: str, _input: Input) -> pd.DataFrame:
    """Check and score an image; key is that of the radiograph."""
    predictor, check = model_of(model)
    with one_at_a_time():
        table = score_inputs(predictor, check, [_input], force=True)
    columns = (table[name].to_numpy()[None] for name in ("uncalibrated", "spread"))
    low, high = predictor.spread_ends(*columns)
    decision = table["called"].map({True: "called", False: "not called"}).astype(object)
    decision = decision.fillna("no threshold")
    return table.assign(low=low[0], high=high[0], decision=decision)


@st.cache_data(show_spinner=False, max_entries=256)
def heatmap(model: str, method: str, key: str, finding: str, _radiograph: Radiograph) -> Grids:
    """Compute the heatmap of a finding; key is that of the radiograph."""
    with one_at_a_time():
        pair = _radiograph.pair(finding)
        return model_of(model).predictor.heatmaps(_radiograph.images, pair, method)


def _accepted(radiograph: Radiograph, table: pd.DataFrame) -> bool:
    """Show what is known of the image, and refusals; return whether to show the result."""
    shrunk, truth = radiograph.input.shrunk, radiograph.truth
    words = [f"{shrunk.source_width}×{shrunk.source_height} pixels"]
    words += [REMARKS[name][1] for name in shrunk.remarks]
    if truth:
        labels = ", ".join(map(display_name, truth.labels)) or "unknown"
        name = MARKDOWN.sub(r"\\\g<0>", truth.image)
        words = [f"{name}, {truth.split}", f"label: {labels}", *words]
        if truth.split != "test":
            st.warning(f"This image is in {truth.split}: its scores are too good.")
    st.markdown(f":small[{' · '.join(words)}]")
    refusals: list[str] = table["refusals"].iloc[0]
    if not refusals:
        return True
    st.error("Refused: " + "; ".join(refusals) + ".")
    return st.toggle("Show the result all the same", key=f"force {radiograph.key}")


def _show_findings(predictor: Predictor, radiograph: Radiograph, table: pd.DataFrame) -> str:
    """Show the findings; return the one that is chosen."""
    labels = radiograph.truth.labels if radiograph.truth else ()
    key = f"finding {radiograph.key}"
    st.session_state.setdefault(key, _first(table, labels, predictor.findings))

    def choose_clicked() -> None:
        clicked = st.session_state["chart"]["selection"].get(drawing.SELECTION)
        if clicked and clicked[0]["finding"] in predictor.findings:
            st.session_state[key] = clicked[0]["finding"]

    label = "Heatmap and boxes of (or click on a bar)"
    finding: str = st.selectbox(label, predictor.findings, format_func=display_name, key=key)
    rows = table.assign(labelled=table["finding"].isin(labels))
    chart = drawing.findings_chart(rows, finding)
    st.altair_chart(chart, key="chart", on_select=choose_clicked, width="stretch")
    legend = f"Tick: threshold ({predictor.description.operating_point})."
    if labels:
        legend += " ◆: label in the records."
    if names := order_lost(table):
        legend += f" {order_remark(map(display_name, names))}"
    if len(predictor.members) > 1:
        legend += f" Line: plus and minus the spread of {len(predictor.members)} networks."
    st.markdown(f":small[{legend}]")
    with st.expander("Table"):
        columns = ["finding", "probability", "threshold", "decision", "spread", "uncalibrated"]
        st.dataframe(table[columns].round(4), hide_index=True)
    return finding


def _first(table: pd.DataFrame, labels: tuple[str, ...], findings: list[str]) -> str:
    """Return a labelled finding, or the one that is most above its threshold."""
    labelled = [name for name in labels if name in findings]
    if labelled:
        return labelled[0]
    rows = table[table["finding"].isin(findings)].set_index("finding")
    return str((rows["probability"] / rows["threshold"]).fillna(0).idxmax())


@st.fragment
def _show_picture(model: str, method: str, finding: str, radiograph: Radiograph) -> None:
    """Show the radiograph with heatmap and boxes, and the controls of both."""
    predictor = model_of(model).predictor
    top = st.container()
    columns = st.columns(2)
    threshold = columns[0].slider("Boxes where the heat exceeds", 0, 254, 180, key="threshold")
    opacity = columns[1].slider("Opacity of the heat", 0, 100, 60, format="%d %%", key="opacity")
    grids = heatmap(model, method, radiograph.key, finding, radiograph)
    (heat,) = heat_of(grids, predictor.description.cached_size, predictor.scaling(method))
    detected = predictor.detect(radiograph.pair(finding), grids, method, [threshold])
    boxes = to_cache(detected[BOX].to_numpy(np.float64), *radiograph.transform)
    detected_box = f"{'detected' if len(boxes) else 'no detected'} box: heat above {threshold}"
    layers = [(drawing.DETECTED_BOX, detected_box, boxes)]
    if radiograph.truth and finding in radiograph.truth.boxes:
        truth = radiograph.truth.boxes[finding]
        layers.insert(0, (drawing.GROUND_TRUTH_BOX, "ground-truth box", truth))
    name = display_name(finding)
    words = f"Radiograph with the heatmap of {name}; detected boxes: {len(boxes)}"
    picture = drawing.overlay(radiograph.picture, heat, opacity / 100, layers, words)
    top.html(picture + drawing.legend(layers))
