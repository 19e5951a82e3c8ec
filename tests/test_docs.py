"""The documentation against the code, the committed results, and itself."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from docs import generate_params, generate_results
from tests.clones import run
from tests.conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
OUTPUTS = (ROOT / "docs/reference/outputs.md").read_text()
RESULTS = ("metrics", "plots", "chexnext/metrics", "chexnext/plots")
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`]+)`")


def test_the_page_of_params_is_that_of_the_config() -> None:
    page = generate_params.PAGE.read_text()
    command = "python docs/generate_params.py"
    assert page == generate_params.updated(page), f"params.md is out of date; run `{command}`"


def test_the_defaults_of_the_results_page_are_the_params() -> None:
    assert generate_params.DEFAULTS.read_text() == generate_params.defaults()


def test_the_results_of_the_readme_are_those_of_the_committed_metrics() -> None:
    page = generate_results.PAGE.read_text()
    command = "python docs/generate_results.py"
    assert page == generate_results.updated(page), f"README.md is out of date; run `{command}`"


def rows_of_params() -> Iterator[tuple[str, str, str]]:
    for row in generate_params.tables().splitlines():
        cells = row.strip("|").split(" | ")
        if row.startswith("| `") and len(cells) == 4:
            yield cells[0].strip(" `"), cells[1], cells[3].strip()


@pytest.mark.parametrize(("key", "allowed", "meaning"), list(rows_of_params()))
def test_every_key_is_explained_with_all_its_names(key: str, allowed: str, meaning: str) -> None:
    assert meaning or ".NAME." in key
    names = [name for name in CODE.findall(allowed) if name not in ("true", "false", "null")]
    assert [name for name in names if not re.search(rf"\b{name}\b", meaning)] == []


def described() -> dict[str, set[str]]:
    """Columns and keys by file, in which `b` stands for any network."""
    found: dict[str, set[str]] = {}
    for row in OUTPUTS.splitlines():
        cells = row.strip("|").split(" | ")
        if not row.startswith("| `") or len(cells) < 2:
            continue
        words = set()
        for word in CODE.findall(" ".join(cells[1:])):
            name = word.removesuffix(" ±")
            words |= {name} if name == word else {name, f"{name}_low", f"{name}_high"}
        first, *others = CODE.findall(cells[0])
        for path in (first, *(f"{first.rpartition('/')[0]}/{name}" for name in others)):
            found[path] = words
    return found


DESCRIBED = described()


def pattern(path: str) -> str:
    return re.sub(r"/[bs]\b", "/.+", re.escape(path)).replace(r"\*", ".+")


def words_for(file: str) -> set[str] | None:
    """The described words of a file; the second pipeline has files like those of the first."""
    for name in (file, file.removeprefix("chexnext/")):
        for path, words in DESCRIBED.items():
            if re.fullmatch(pattern(path), name):
                return words | {"phantom"}
    return None


def keys_of(content: dict[str, Any], known: set[str]) -> Iterator[str]:
    """Keys of a JSON file; those of a backbone or network stand for what they hold."""
    for key, value in content.items():
        if key not in known and isinstance(value, dict):
            yield from keys_of(value, known)
        else:
            yield key


def committed() -> list[str]:
    files = run(ROOT, "git", "ls-files", *RESULTS).splitlines()
    return [name for name in files if (ROOT / name).suffix in (".csv", ".json")]


@pytest.mark.parametrize("file", committed())
def test_every_column_and_key_of_the_committed_results_is_described(file: str) -> None:
    known = words_for(file)
    assert known is not None, f"{file} is missing in docs/reference/outputs.md"
    if file.endswith(".json"):
        assert set(keys_of(json.loads((ROOT / file).read_text()), known)) - known == set()
    else:
        columns = set(pd.read_csv(ROOT / file, nrows=0).columns)
        assert columns ^ known <= {"phantom"}


def graph(file: str) -> dict[str, Any]:
    """The stages of a dvc.yaml, by name."""
    stages: dict[str, Any] = yaml.safe_load((ROOT / file).read_text())["stages"]
    return stages


def outs(file: str) -> list[str]:
    """The outputs of a graph, in which `b` stands for an item of a matrix."""
    kinds = [
        stage.get(k, []) for stage in graph(file).values() for k in ("outs", "metrics", "plots")
    ]
    names = [next(iter(out)) if isinstance(out, dict) else out for kind in kinds for out in kind]
    return sorted({re.sub(r"\$\{[^}]+\}", "b", name) for name in names})


@pytest.mark.parametrize("path", [*outs("dvc.yaml"), *outs("chexnext/dvc.yaml")])
def test_every_output_of_the_graphs_is_described(path: str) -> None:
    """By itself, or by the files that it holds; those of the second pipeline as the first's."""
    folders = {parent.as_posix() for known in DESCRIBED for parent in Path(known).parents}
    names = path, re.sub(r"^chexnext/(singles/)?", "", path)
    assert any(
        re.fullmatch(pattern(known), name) for known in folders | {*DESCRIBED} for name in names
    )


def test_every_stage_is_described() -> None:
    page = (ROOT / "docs/reference/stages.md").read_text()
    for file, section in zip(
        ("dvc.yaml", "chexnext/dvc.yaml"), page.split("\n## ")[1:], strict=True
    ):
        named = re.findall(r"^\| `([\w-]+)(?:@[^`]*)?`", section, re.MULTILINE)
        assert named == list(graph(file))


def test_the_guide_to_extensions_names_what_the_code_has() -> None:
    page = (ROOT / "docs/howto/extend.md").read_text()
    folders = ("src", "stages", "tests")
    code = "\n".join(p.read_text() for name in folders for p in (ROOT / name).rglob("*.py"))
    names = {name for name in CODE.findall(page) if re.fullmatch(r"[A-Za-z_]+(\.[a-z_]+)?", name)}
    assert {name for name in names if name.rpartition(".")[2] not in code} == set()


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


SOURCES = ("src/", "stages/", "tests/", "benchmarks/", "ablation/", "docs/")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_source_file_that_a_page_names_exists(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        return
    names = re.findall(rf"(?<![\w/.])(?:{'|'.join(SOURCES)})[\w./-]*\w\b", page.read_text())
    assert [name for name in names if name.islower() and not (ROOT / name).exists()] == []
