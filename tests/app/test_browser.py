"""The app end to end, in Chromium."""

import asyncio
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from PIL import Image

from tests.app.radiographs import bomb, file_of
from tests.datasets.dicoms import IDENTIFIERS, SECRETS, dicom_of_png

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PICTURE = "img.radiograph"
PATIENCE = 60_000  # milliseconds
App = tuple[str, int, Path]


@contextmanager
def opened(browser: "Browser", address: str) -> Iterator["Page"]:
    """The app in a browser without a history; no console error, no request to another host."""
    context = browser.new_context(viewport={"width": 1280, "height": 1100})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    messages: list[str] = []
    requests: list[str] = []
    page.on("console", lambda m: messages.append(f"{m.type}: {m.text}"))
    page.on("pageerror", lambda error: messages.append(f"error: {error}"))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    page.wait_for_selector(PICTURE)
    yield page
    assert "Not a medical device" in page.inner_text("[data-testid=stMain]")
    context.close()
    assert [text for text in messages if text.startswith("error")] == []
    allowed = (address, "data:", "blob:")
    assert [url for url in requests if not url.startswith(allowed)] == []


def upload(page: "Page", path: Path) -> None:
    page.get_by_text("A file", exact=True).click()
    page.locator("input[type=file]").set_input_files(path)


def after(page: "Page", action: Callable[[], object]) -> str:
    """The drawing after an action that changes it."""
    before = page.get_attribute(PICTURE, "src")
    action()
    page.wait_for_function(
        "before => document.querySelector('img.radiograph')?.src !== before", arg=before
    )
    return str(page.get_attribute(PICTURE, "alt"))


def choose(page: "Page", label: str, option: str) -> None:
    page.get_by_label(label).first.click()
    page.get_by_role("option", name=option, exact=True).click()


@pytest.fixture
def real(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A real PNG where this machine has one, else a drawn one."""
    try:
        folder: Path = request.getfixturevalue("nih")
    except pytest.skip.Exception:
        path = tmp_path / "drawn.png"
        path.write_bytes(file_of(100))
        return path
    return min((folder / "images").glob("*.png"))


@pytest.mark.graph
def test_a_png_and_its_dicom_give_findings_and_heatmaps(
    app: App, browser: "Browser", real: Path, tmp_path: Path
) -> None:
    address, _, log = app
    film = tmp_path / f"{IDENTIFIERS['PatientID']}.dcm"
    film.write_bytes(dicom_of_png(real.read_bytes()))
    with opened(browser, address) as page:
        after(page, lambda: upload(page, real))
        page.get_by_text("Table", exact=True).wait_for()
        seen = after(page, lambda: choose(page, "Heatmap and boxes of", "Edema"))
        assert seen.startswith("Radiograph with the heatmap of Edema; ")
        with Image.open(real) as image:
            assert f"{image.width}×{image.height} pixels" in page.inner_text("body")
        page.locator("input[type=file]").set_input_files(film)
        page.get_by_text("a DICOM file").wait_for()
        page.get_by_text(film.name).wait_for(state="detached")
        page.wait_for_selector(PICTURE)
        words = page.content()
    log_text = log.read_text()
    assert not [word for word in SECRETS if word in words or word in log_text]


@pytest.mark.graph
def test_a_click_on_a_bar_chooses_its_finding(app: App, browser: "Browser") -> None:
    with opened(browser, app[0]) as page:
        chart = page.get_by_test_id("stVegaLiteChart").locator("svg.marks, canvas.marks").first
        seen = after(page, lambda: chart.click(position={"x": 250, "y": 48}))
        assert seen.startswith("Radiograph with the heatmap of Atelectasis; ")


@pytest.mark.graph
def test_any_image_of_the_split_can_be_typed(app: App, browser: "Browser") -> None:
    with opened(browser, app[0]) as page:
        field = page.get_by_label("test images, those with boxes first").first
        for name, said in (
            ("2.png", "This image is in val: its scores are too good."),
            ("no.png", "'no.png' is no image of the split"),
        ):
            field.click()
            field.fill(name)
            field.press("Enter")
            page.get_by_text(said).wait_for()


@pytest.mark.graph
def test_too_large_a_file_and_a_bomb_get_clear_messages(
    app: App, browser: "Browser", tmp_path: Path
) -> None:
    address, _, _ = app
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(200 * 2**20)
    (tmp_path / "bomb.png").write_bytes(bomb())
    with opened(browser, address) as page:
        upload(page, large)
        page.get_by_text("File must be 64.0MB or smaller.").wait_for()
        page.locator("input[type=file]").set_input_files(tmp_path / "bomb.png")
        page.get_by_text("claims 20000×20000 pixels; at most 33554432 are decoded").wait_for()


@pytest.mark.graph
def test_an_upload_of_200_mb_past_the_page_is_refused_and_not_kept(app: App) -> None:
    url = f"{app[0]}/_stcore/upload_file/{uuid.uuid4()}/{uuid.uuid4()}"
    before = memory(app[1])
    request = urllib.request.Request(url, bytes(200 * 2**20), method="PUT")
    with pytest.raises((urllib.error.HTTPError, urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(request, timeout=60)
    assert memory(app[1]) < before + 100 * 2**20


def memory(pid: int) -> int:
    """Resident memory of a process and its children, in bytes."""
    process = psutil.Process(pid)
    return sum(p.memory_info().rss for p in [process, *process.children(recursive=True)])


async def visit(address: str) -> bool:
    """Open a session as the page's script does; return whether the radiograph arrives."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
    from websockets.asyncio.client import connect

    url = f"{address.replace('http', 'ws')}/_stcore/stream"
    arrived = False
    async with connect(url, subprotocols=["streamlit"], max_size=None, open_timeout=60) as socket:
        start = BackMsg()
        start.rerun_script.query_string = ""
        await socket.send(start.SerializeToString())
        message = ForwardMsg()
        while not message.HasField("script_finished"):
            message.ParseFromString(await socket.recv())
            arrived |= 'class="radiograph"' in message.delta.new_element.html.body
    return arrived


async def visit_together(address: str, count: int) -> list[bool]:
    return await asyncio.gather(*(visit(address) for _ in range(count)))


def visits(address: str, count: int) -> list[bool]:
    """Sessions at the same time, in a thread, as Playwright has an event loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(visit_together(address, count))).result()


@pytest.mark.graph
def test_a_hundred_sessions_at_once_are_all_answered_within_bounded_memory(app: App) -> None:
    address, pid, _ = app
    visits(address, 1)
    before = memory(pid)
    assert visits(address, 100) == [True] * 100
    assert memory(pid) < before + 200 * 2**20
