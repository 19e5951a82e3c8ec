"""Starts the app: Streamlit as a child process, for this machine unless `--host` says otherwise."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from cxr14.child_server import check_port, run_group
from cxr14.datasets.archive_kinds import IMAGE_BYTES
from cxr14.errors import UserError
from cxr14.numerics import set_environment

PAGE = Path(__file__).with_name("page.py")

MODEL = "CXR14_APP_MODEL"
"""Environment variable that holds the model that is chosen first."""

WILDCARDS = ("0.0.0.0", "::", "")
"""Hosts that stand for every address of the machine."""

OPTIONS = {
    "server.headless": "true",  # else Streamlit requests an e-mail address at its first start
    "server.maxUploadSize": str(IMAGE_BYTES // 2**20),
    "server.enableXsrfProtection": "true",
    "server.enableStaticServing": "false",
    "server.fileWatcherType": "none",
    "server.disconnectedSessionTTL": "30",  # seconds until the image of a closed tab is dropped
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": "false",  # of Google and ChatGPT
    "logger.hideWelcomeMessage": "true",  # the welcome looks up the external address
    "logger.level": "warning",
    "runner.magicEnabled": "false",
    "theme.light.primaryColor": "#0072B2",  # both, so that the browser chooses light or dark
    "theme.dark.primaryColor": "#56B4E9",
}
"""Options of Streamlit: nothing is sent, fetched, watched or shown beyond the page."""


def command(host: str, port: int) -> list[str]:
    """Return the command line of the server."""
    address = {"server.address": host, "server.port": str(port)}
    # Other names are refused: a page of another site could resolve its own to this machine. A
    # wildcard listens on addresses of many names, which are not known here.
    names = {"*"} if host in WILDCARDS else {host, "localhost", "127.0.0.1"}
    hosts = [f"--server.allowedHosts={name}" for name in names]
    options = [f"--{name}={value}" for name, value in (OPTIONS | address).items()]
    return [sys.executable, "-m", "streamlit", "run", str(PAGE), *options, *sorted(hosts)]


def serve(host: str, port: int, model: str | None = None) -> int:
    """Run the app until it ends or a stop is requested; return its exit code.

    Args:
        host: address to listen on.
        port: number.
        model: that is chosen first: a folder such as models/alexnet, or a URI models:/….

    Raises:
        UserError: Streamlit is not installed, or the port cannot be used.
    """
    if find_spec("streamlit") is None:
        raise UserError("the app needs Streamlit; install the extra: pip install 'cxr14[app]'")
    check_port(host, port, "cxr14 app")
    set_environment("portable")  # so that the app predicts what the pipeline does
    print(f"cxr14, in a few seconds: http://{host}:{port} (Ctrl-C ends it)", flush=True)
    return run_group(command(host, port), os.environ | ({MODEL: model} if model else {}))
