"""Starting and ending the app."""

import socket
import sys

import pytest

from cxr14.app import launcher
from cxr14.errors import UserError

pytest.importorskip("streamlit")


def test_a_port_in_use_is_one_sentence_with_another_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} .* in use.*cxr14 app --port {port + 1}"):
            launcher.serve("127.0.0.1", port)


def test_without_streamlit_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "streamlit", None)
    with pytest.raises(UserError, match=r"install the extra: pip install 'cxr14\[app\]'"):
        launcher.serve("127.0.0.1", 8501)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", ["127.0.0.1", "localhost"]),
        ("10.0.0.7", ["10.0.0.7", "127.0.0.1", "localhost"]),
        ("0.0.0.0", ["*"]),
        ("::", ["*"]),
    ],
)
def test_a_wildcard_host_allows_every_name_of_the_machine(host: str, allowed: list[str]) -> None:
    prefix = "--server.allowedHosts="
    words = [word for word in launcher.command(host, 8501) if word.startswith(prefix)]
    assert [word.removeprefix(prefix) for word in words] == allowed


def test_every_option_is_one_that_streamlit_has() -> None:
    from streamlit import config

    words = launcher.command("127.0.0.1", 8501)[5:]
    names = {word.removeprefix("--").split("=")[0] for word in words}
    assert len(names) > 10
    assert names - {*config.get_config_options()} == set()
