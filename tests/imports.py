"""Which of our own files a stage imports, read from the source without running it."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def file_of(module: str, root: Path) -> Path | None:
    """The file of one of our modules, relative to the root; None if it is somebody else's."""
    base = Path(*module.split("."))
    base = base if module.split(".")[0] == "stages" else Path("src") / base
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if (root / path).exists():
            return path
    return None


def imported_modules(path: Path) -> set[str]:
    """Every module that a file may import at run time, inside functions too."""
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


def needed_files(start: Path, root: Path = ROOT) -> set[str]:
    """The file itself, all of ours that it imports, and the packages that they lie in."""
    seen: set[Path] = set()
    todo = [start]
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        for module in imported_modules(root / path) | {".".join(_module_of(path))}:
            parts = module.split(".")
            for end in range(1, len(parts) + 1):
                file = file_of(".".join(parts[:end]), root)
                if file is not None:
                    todo.append(file)
    return {path.as_posix() for path in seen}


def _module_of(path: Path) -> tuple[str, ...]:
    parts = path.with_suffix("").parts
    return parts[1:] if parts[0] == "src" else parts


def modules_of(room: Path, root: Path = ROOT) -> set[str]:
    """Every module in a folder and the folders in it."""
    return {path.relative_to(root).as_posix() for path in (root / room).rglob("*.py")}


def folded(files: set[str], root: Path = ROOT) -> list[str]:
    """The same files, but a room that is needed to its last module by its folder's name."""
    rooms = {parent for file in files for parent in Path(file).parents if len(parent.parts) > 2}
    whole = {room for room in rooms if modules_of(room, root) <= files}
    outer = {room for room in whole if not whole & set(room.parents)}
    inside = set().union(*(modules_of(room, root) for room in outer))
    return sorted({*(files - inside), *(room.as_posix() for room in outer)})


def unfolded(deps: list[str], root: Path = ROOT) -> set[str]:
    """The modules that deps name, one by one or by their folder."""
    return set().union(
        *(modules_of(Path(dep), root) if (root / dep).is_dir() else {dep} for dep in deps)
    )


if __name__ == "__main__":  # python tests/imports.py stages/train.py: the deps to list in dvc.yaml
    import sys

    for name in folded(needed_files(Path(sys.argv[1]))):
        print(f"    - {name}")
