"""Write the results of README.md: ``python docs/generate_results.py``.

Table and sentences come from the committed metrics of the default run.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import fill

from cxr14.config.reader import read_yaml
from cxr14.datasets.records import Source
from cxr14.io import read_json
from cxr14.report.sentences import sentences
from cxr14.report.summary import Results, legend, read_results, sample
from cxr14.report.terminal import HEADER, summary_rows

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "README.md"
BEGIN = "<!-- begin: written by python docs/generate_results.py -->\n"
END = "<!-- end -->"
WIDTH = 110


def main() -> None:
    """Replace the results of the page."""
    PAGE.write_text(updated(PAGE.read_text()))


def updated(page: str) -> str:
    """Return the page with the results of the committed metrics."""
    before, rest = page.split(BEGIN)
    lines = "\n".join(block(read_committed()))
    return f"{before}{BEGIN}\n{lines}\n\n{END}{rest.split(END)[1]}"


def read_committed() -> Results:
    """Read the metrics in git; the flags of the source are those of the summary."""
    flags = read_json(ROOT / "metrics/summary.json", "phantom", "official_split")
    params = read_yaml(ROOT / "params.yaml")
    source = Source(params["data"]["source"], bool(flags["phantom"]), bool(flags["official_split"]))
    return read_results(ROOT, params["train"]["backbones"], source)


def block(results: Results) -> Iterator[str]:
    """Yield the lines of the block: table, legend, sentences."""
    yield row(HEADER)
    yield row(["---"] * len(HEADER))
    yield from map(row, summary_rows(results))
    yield from ("", fill(f"Test split ({sample(results)}). {legend(results)}", WIDTH), "")
    yield from (fill(f"- {text}", WIDTH, subsequent_indent="  ") for text in sentences(results))


def row(cells: Iterable[str]) -> str:
    """Return a row of a table; what is below a cell's first line goes into brackets."""
    return f"| {' | '.join(map(in_one_line, cells))} |"


def in_one_line(cell: str) -> str:
    """Return ``.765 (.740–.789)`` of a score above its interval; headings in one line."""
    first, _, rest = cell.partition("\n")
    if not rest:
        return first
    return f"{first} ({rest})" if "–" in rest else f"{first} {rest}"


if __name__ == "__main__":
    main()
