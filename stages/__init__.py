"""The stages of dvc.yaml, one short script each: ``python -m stages.NAME --help``.

A stage reads files, calls one room of ``src/cxr14`` and writes files. The path is set here,
not by an installation, so that a stage inside ``dvc exp run --temp`` runs the code of that
experiment's own checkout and not the code of the work tree it was started from.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
