"""What a training run is: the hash of its inputs, params and code, and of how it computes."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

NOT_RESULTS = ("cxr14.tracking", "cxr14.provenance")
"""Modules that watch a run and cannot change its result."""


def code_hash() -> str:
    """Hash the source of every cxr14 module imported so far, in the order of their names."""
    digest = hashlib.sha256()
    for name, module in sorted(sys.modules.items()):
        ours = name == "cxr14" or name.startswith("cxr14.")
        if ours and not name.startswith(NOT_RESULTS) and module.__file__:
            digest.update(name.encode() + b"\0" + Path(module.__file__).read_bytes())
    return digest.hexdigest()


def run_identity(
    inputs: dict[str, str], params: dict[str, Any], code: str, computed: dict[str, Any]
) -> str:
    """Return the identity of a run: if all four are equal, so are its 64 hex digits.

    Args:
        inputs: SHA-256 by file.
        params: as written; `auto` in them says nothing yet.
        code: hash of ours.
        computed: device, precision, layout and the version of torch, which `params` leave to the
            machine.
    """
    facts = {"inputs": inputs, "params": params, "code": code, "computed": computed}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
