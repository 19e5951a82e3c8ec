"""Which of our own files a stage imports, read from the source without running it."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

NO_EFFECT = (
    "src/cxr14/config/",  # values reach a stage through its params, which DVC tracks
    "src/cxr14/console.py",
    "src/cxr14/errors.py",
    "src/cxr14/report/terminal.py",  # terminal tables
    "src/cxr14/report/terminal_external.py",
    "src/cxr14/report/terminal_localization.py",
    "src/cxr14/report/terminal_serving.py",
    "src/cxr14/tracking/",  # a view of the artifacts
    "stages/__init__.py",  # how a stage is started, and how its errors are reported
)
"""Code that can change no output: it is in no stage's deps but of those that it is all about."""


def has_no_effect(path: Path) -> bool:
    return path.name == "__init__.py" or path.as_posix().startswith(NO_EFFECT)


def file_of(module: str, root: Path) -> Path | None:
    """The file of one of our modules, relative to the root; None if it is somebody else's."""
    base = Path(*module.split("."))
    base = base if module.split(".")[0] == "stages" else Path("src") / base
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if (root / path).exists():
            return path
    return None


def imported_names(path: Path) -> set[str]:
    """Every module, and every name of a module, that a file may import at run time.

    Imports inside functions count; those for type checkers alone do not.
    """
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    typing_only = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for part in node.body
        for child in ast.walk(part)
    }
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def imported_files(path: Path, root: Path = ROOT) -> set[Path]:
    """Our own files that a file imports, and the packages that they lie in."""
    parts = (name.split(".") for name in imported_names(root / path))
    modules = {".".join(words[:end]) for words in parts for end in range(1, len(words) + 1)}
    return {file for module in modules if (file := file_of(module, root))}


def needed_files(start: Path, root: Path = ROOT) -> set[str]:
    """The file itself, and all of ours that it imports, one through another."""
    return {path.as_posix() for path in _reach(start, root, set())}


def effective_files(start: Path, root: Path = ROOT) -> set[str]:
    """The same, without code that can change no output, and what only that imports."""
    found = _reach(start, root, {path for path in _all(root) if has_no_effect(path)})
    return {path.as_posix() for path in found if not has_no_effect(path)}


def _all(root: Path) -> set[Path]:
    return {p.relative_to(root) for top in ("src", "stages") for p in (root / top).rglob("*.py")}


def _reach(start: Path, root: Path, ends: set[Path]) -> set[Path]:
    seen: set[Path] = set()
    todo = [start]
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo += imported_files(path, root) if path == start or path not in ends else ()
    return seen


def covers(dep: str, file: str) -> bool:
    """Tell whether a dep is this file, or a folder that holds it."""
    return file == dep or file.startswith(f"{dep}/")
