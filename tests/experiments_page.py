"""The commands in docs/howto/experiments.md."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs/howto/experiments.md"

OWN_IMAGES = "5. Your own images"


def ways_of_use() -> dict[str, list[str]]:
    """The commands below each heading of the section "Ways to use it", without comments."""
    section = PAGE.read_text().split("\n## Ways to use it\n")[1].split("\n## ")[0]
    commands: dict[str, list[str]] = {}
    for subsection in section.split("\n### ")[1:]:
        title, _, body = subsection.partition("\n")
        lines = [line[4:] for line in body.split("\n") if line.startswith("    ")]
        commands[title] = [re.sub(r"\s+# .*", "", line) for line in lines]
    return commands


def python_snippet(title: str) -> str:
    """The Python code below a heading."""
    body = PAGE.read_text().split(f"\n### {title}\n")[1].split("\n### ")[0]
    return body.split("```python\n")[1].split("```")[0]
