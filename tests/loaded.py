"""What importing our modules loads of other packages, seen in a Python of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable

from tests.conftest import ROOT


def loaded(modules: Iterable[str], packages: Iterable[str]) -> set[str]:
    """Those of the packages that a fresh Python has loaded once it has imported the modules."""
    code = f"import json, sys, {', '.join(modules)}; print(json.dumps(list(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return set(packages) & set(json.loads(done.stdout))
