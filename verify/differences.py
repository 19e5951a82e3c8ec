"""Differences between two states of dvc.lock, and their reasons as far as the file shows them."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from cxr14.errors import quote

Lock = Mapping[str, Any]
"""The mapping `stages` of a dvc.lock."""

CODE = ("src/", "stages/")
OF_THIS_STORE = "register"
"""The stage whose output lists the model versions of this machine's MLflow store."""


class Difference(NamedTuple):
    """A stage whose entry differs, and why.

    Attributes:
        stage: its name.
        reason: in words.
        is_cause: False if the stage only follows others, by its inputs.
    """

    stage: str
    reason: str
    is_cause: bool


def differences(committed: Lock, present: Lock) -> Iterator[Difference]:
    """Yield the stages that differ, in the order of the present file; then those that are gone."""
    for name, stage in present.items():
        if name not in committed:
            yield Difference(name, "is not in the committed dvc.lock", True)
        elif stage != committed[name]:
            yield _difference(name, committed[name], stage)
    for name in committed:
        if name not in present:
            yield Difference(name, "is only in the committed dvc.lock", True)


def _difference(name: str, committed: Mapping[str, Any], present: Mapping[str, Any]) -> Difference:
    params = [*_params(committed, present)]
    paths = _changed(committed, present, "deps")
    code = [path for path in paths if path.startswith(CODE)]
    data = [path for path in paths if not path.startswith(CODE)]
    outputs = ", ".join(_changed(committed, present, "outs"))
    reasons = [f"other params: {', '.join(params)}"] if params else []
    reasons += [f"changed code: {', '.join(code)}"] if code else []
    reasons += ["other command"] if committed.get("cmd") != present.get("cmd") else []
    if not reasons and data:
        return Difference(name, f"other inputs: {', '.join(data)}", False)
    if not reasons and name == OF_THIS_STORE:
        return Difference(name, "other versions in this machine's MLflow store", True)
    if not reasons:
        return Difference(
            name,
            f"{outputs} differ by the same code, params and inputs: another processor, or other "
            f"versions of packages than requirements.lock",
            True,
        )
    return Difference(name, "; ".join(reasons) + ("" if outputs else " (same outputs)"), True)


def _changed(committed: Mapping[str, Any], present: Mapping[str, Any], kind: str) -> list[str]:
    """Return the paths of deps or outs whose hash differs or that only one side has."""
    before, after = (
        {entry["path"]: entry.get("md5") for entry in stage.get(kind, [])}
        for stage in (committed, present)
    )
    return [path for path in {**before, **after} if before.get(path) != after.get(path)]


def _params(committed: Mapping[str, Any], present: Mapping[str, Any]) -> Iterator[str]:
    """Yield ``key old → new`` of the params that differ."""
    before, after = (_flat(stage.get("params", {})) for stage in (committed, present))
    for key in {**before, **after}:
        if before.get(key) != after.get(key):
            yield f"{key} {quote(before.get(key))} → {quote(after.get(key))}"


def _flat(files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return all params by dotted key; those of another file than params.yaml with its name."""
    flat: dict[str, Any] = {}
    for file, values in files.items():
        flat |= _leaves(values, "" if file == "params.yaml" else f"{file}: ")
    return flat


def _leaves(value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        return {key.removesuffix("."): value}
    leaves: dict[str, Any] = {}
    for name, child in value.items():
        leaves |= _leaves(child, f"{key}{name}.")
    return leaves
