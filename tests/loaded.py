"""What importing our modules loads of other packages, seen in a Python of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable

from tests.conftest import ROOT


def output_of(code: str) -> str:
    """What code prints in a fresh Python that can import our modules."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def loaded(modules: Iterable[str], packages: Iterable[str], then: str = "") -> set[str]:
    """Those of the packages that a fresh Python has loaded once it has imported the modules.

    With `then` also those that this code loads after it.
    """
    seen = "import json, sys; print(json.dumps(list(sys.modules)))"
    code = f"import {', '.join(modules)}\n{then}\n{seen}"
    return set(packages) & set(json.loads(output_of(code)))
