"""What a training run is: the hash of its inputs, its params and its code."""

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


def run_identity(inputs: dict[str, str], params: dict[str, Any], code: str) -> str:
    """Return the identity of a run: equal inputs, params and code give the same 64 hex digits."""
    facts = {"inputs": inputs, "params": params, "code": code}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
