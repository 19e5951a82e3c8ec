"""Write the tables of docs/reference/params.md: ``python docs/generate_params.py``.

Types, allowed values and ranges come from the pydantic models of ``cxr14.config``, defaults and
meanings from params.yaml and its comments. Also writes src/cxr14/report/defaults.yaml, by which the
results page names the params that differ from their defaults.
"""

import re
from collections.abc import Iterator
from io import SEEK_END, StringIO
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ruamel.yaml import YAML

from cxr14.config import check
from cxr14.config.reader import Block, read_yaml
from cxr14.report.facts import DEFAULTS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/reference/params.md"
DEFAULTS_NOTE = "# The default params.yaml, written by python docs/generate_params.py.\n"
BEGIN = "<!-- begin: written by python docs/generate_params.py -->\n"
END = "<!-- end -->"

FILES = {"params.yaml": check.BLOCKS, "chexnext/params.yaml": check.CHEXNEXT_BLOCKS}
KEY = re.compile(r"( *)(\w+):[^#]*(?:# *(.*))?")
CONTINUED = re.compile(r" +# *(.*)")
NUMBERS = {2**63 - 1: "2⁶³ − 1"}


def main() -> None:
    """Replace the tables of the page."""
    PAGE.write_text(updated(PAGE.read_text()))
    DEFAULTS.write_text(defaults())


def defaults() -> str:
    """Return params.yaml without its comments, in block style."""
    content = StringIO(DEFAULTS_NOTE)
    content.seek(0, SEEK_END)
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(read_yaml(ROOT / "params.yaml"), content)
    return content.getvalue()


def updated(page: str) -> str:
    """Return the page with the tables of the present config."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + tables() + END + rest.split(END)[1]


def tables() -> str:
    """Return a section per file, with a table per block."""
    lines: list[str] = []
    documented: set[type[Block]] = set()
    for file, readers in FILES.items():
        lines += [f"## `{file}`", ""]
        values, meanings = read_yaml(ROOT / file), comments(ROOT / file)
        for name, reader in readers.items():
            lines += [f"### `{name}`", ""]
            if text := meanings[name]:
                lines += [f"{text[0].upper()}{text[1:]}.", ""]
            block = get_type_hints(reader)["return"]
            if get_origin(block) is Literal:
                choices = ", ".join(map(code, get_args(block)))
                lines += [f"Allowed: {choices}. Default: {code(values[name])}."]
            elif isinstance(block, type) and issubclass(block, Block) and block not in documented:
                documented.add(block)
                lines += key_table(name, block, values, meanings)
            else:
                lines += default_table(name, values)
            lines.append("")
    return "\n".join(lines)


def key_table(
    name: str, block: type[Block], values: dict[str, Any], meanings: dict[str, str]
) -> list[str]:
    """Return the table of the keys of a block, in the order of the file."""
    order, schema = list(meanings), block.model_json_schema()
    rows = sorted(
        leaves(schema, schema, name), key=lambda row: order.index(row[0].partition(".NAME")[0])
    )
    lines = ["| key | allowed | default | meaning |", "|---|---|---|---|"]
    for key, node in rows:
        cells = (
            code(key),
            allowed(node),
            default(values, key),
            meanings.get(key, node.get("description", "")),
        )
        lines.append(f"| {' | '.join(cell.replace('|', '·') for cell in cells)} |")
    return lines


def default_table(name: str, values: dict[str, Any]) -> list[str]:
    """Return the defaults of a block that differ from those of its namesake in params.yaml."""
    first = set(flat(name, read_yaml(ROOT / "params.yaml")[name]))
    lines = ["The same keys as in `params.yaml`. Defaults that differ:", ""]
    lines += ["| key | default |", "|---|---|"]
    return lines + [f"| {code(k)} | {v} |" for k, v in sorted({*flat(name, values[name])} - first)]


def leaves(
    node: dict[str, Any], schema: dict[str, Any], key: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (dotted key, JSON schema) of each value of a block; NAME stands for any name."""
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    named = node.get("additionalProperties") or {}
    if node.get("properties"):
        for name, child in node["properties"].items():
            yield from leaves(child, schema, f"{key}.{name}")
    elif "$ref" in named:
        yield key, {"type": "object"}
        yield from leaves(named, schema, f"{key}.NAME")
    else:
        yield key, node


def allowed(node: dict[str, Any]) -> str:
    """Return the allowed values of a JSON schema in words."""
    if not set(node) - {"title"}:
        return "see the meaning"
    if "anyOf" in node:
        return " or ".join(allowed(child) for child in node["anyOf"])
    if "enum" in node or "const" in node:
        return ", ".join(code(value) for value in node.get("enum", [node.get("const")]))
    kind = node.get("type", "")
    if kind == "array":
        return f"list of {allowed(node['items'])}"
    if kind in ("integer", "number"):
        return f"{kind}, {limits(node)}"
    words = {"boolean": "`true`, `false`", "string": "text", "null": "`null`"}
    return words.get(kind, "a block per name")


def limits(node: dict[str, Any]) -> str:
    """Return the range of a number: ``0 to 1``, ``above 0, below 1``."""
    if node["type"] == "integer" and "exclusiveMinimum" in node:
        node = node | {"minimum": node["exclusiveMinimum"] + 1}
    if "minimum" in node and "maximum" in node:
        return f"{number(node['minimum'])} to {number(node['maximum'])}"
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most",
             "exclusiveMaximum": "below"}  # fmt: skip
    return ", ".join(f"{word} {number(node[key])}" for key, word in words.items() if key in node)


def number(value: float) -> str:
    """Return a limit with a comma after every third digit."""
    return NUMBERS.get(int(value)) or f"{value:,.15g}"


def default(values: dict[str, Any], key: str) -> str:
    """Return the value of a dotted key; a dash for a block, or for one of several names."""
    value: Any = values
    for word in key.split("."):
        value = value.get(word) if isinstance(value, dict) else None
    if isinstance(value, dict) or (value is None and ".NAME." in key):
        return "–"
    return yaml_text(value)


def flat(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield (dotted key, value) of each value of a block."""
    if isinstance(value, dict) and value:
        for name, child in value.items():
            yield from flat(f"{key}.{name}", child)
    else:
        yield key, yaml_text(value)


def yaml_text(value: Any) -> str:
    """Return a value as YAML writes it in one line."""
    if isinstance(value, list):
        return ", ".join(yaml_text(item) for item in value)
    words: dict[Any, str] = {None: "null", True: "true", False: "false"}
    has_word = isinstance(value, bool) or value is None
    return code(words[value] if has_word else value or "{}" if isinstance(value, dict) else value)


def code(value: object) -> str:
    """Return a value in backticks."""
    return f"`{value}`"


def comments(file: Path) -> dict[str, str]:
    """Return the comment of each key of a YAML file, by dotted key; empty without one."""
    meanings: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    for line in file.read_text().splitlines():
        if match := KEY.fullmatch(line):
            indent, name, text = len(match[1]), match[2], match[3]
            stack = [(level, word) for level, word in stack if level < indent] + [(indent, name)]
            meanings[".".join(word for _, word in stack)] = text or ""
        elif match := CONTINUED.fullmatch(line):
            meanings[".".join(word for _, word in stack)] += f" {match[1]}"
    return meanings


if __name__ == "__main__":
    main()
