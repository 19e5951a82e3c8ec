"""One page that holds everything: tables as HTML, pictures inside it, no outside reference."""

import base64
from html import escape
from pathlib import Path
from typing import Any

from cxr14.findings import BOXED, FINDINGS
from cxr14.report.terminal import HEADER, legend, rows
from cxr14.wording import NOT_TRAINED, counted, shown

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem;
       color: #1c2430; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #d8dee6; }
th:first-child, td:first-child { text-align: left; }
.caution { background: #fff4d6; border-left: 5px solid #d99a00; padding: .6rem 1rem; }
img { max-width: 100%; margin: .5rem 0; }
"""


def html_table(header: tuple[str, ...], body: list[tuple[str, ...]]) -> str:
    """Return an HTML table; every cell is escaped."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in body)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def picture(path: Path) -> str:
    """Return an image tag that holds the PNG itself; its name is its text."""
    content = base64.b64encode(path.read_bytes()).decode()
    name = escape(path.stem.replace("_", " "))
    return f'<figure><img alt="{name}" src="data:image/png;base64,{content}"></figure>'


def finding_rows(metrics: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return AUROC on test per finding, one column per backbone."""
    return [
        (finding, *(_auroc(own["evaluate"]["findings"], finding) for own in metrics.values()))
        for finding in FINDINGS
    ]


def _auroc(findings: dict[str, Any], finding: str) -> str:
    return shown(findings[finding]["auroc"]) if finding in findings else NOT_TRAINED


def box_rows(metrics: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return n and hit rate at T(IoBB) .1 per boxed finding, one column per backbone."""
    first = next(iter(metrics.values()))["localize"]
    return [
        (
            finding,
            counted(first["n"].get(finding, 0)),
            *(shown(_hit_rate(own["localize"], finding)) for own in metrics.values()),
        )
        for finding in BOXED
    ]


def _hit_rate(localize: dict[str, Any], finding: str) -> float | None:
    at = localize["iobb"].get("t10", {})
    value: float | None = at.get("accuracy", {}).get(finding)
    return value


def render(
    summary: dict[str, Any],
    metrics: dict[str, dict[str, Any]],
    caution: str,
    figures: list[Path],
    overlays: list[Path],
) -> str:
    """Return the page.

    Args:
        summary: metrics/summary.json.
        metrics: evaluate and localize per backbone.
        caution: what has to be said above the tables.
        figures: PNGs of the explored records.
        overlays: PNGs of drawn and found boxes.
    """
    backbones = tuple(metrics)
    parts = [
        "<h1>ChestX-ray14: results</h1>",
        f'<p class="caution">{escape(caution)}</p>',
        "<h2>Test part, mean over findings</h2>",
        html_table(HEADER, rows(summary)),
        f"<p>{escape(legend(summary))}</p>",
        "<h2>AUROC per finding</h2>",
        html_table(("finding", *backbones), finding_rows(metrics)),
        "<h2>Boxes hit, IoBB &gt; .1</h2>",
        "<p>A drawn box counts as hit if a found box lies in it by more than a tenth of the found "
        "box's area; n is the number of boxed images.</p>",
        html_table(("finding", "n", *backbones), box_rows(metrics)),
        "<h2>Found boxes</h2>",
        *map(picture, overlays),
        "<h2>The records</h2>",
        *map(picture, figures),
    ]
    title = "<title>cxr14 results</title>"
    head = f'<meta charset="utf-8">{title}<style>{STYLE}</style>'
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'
    )
