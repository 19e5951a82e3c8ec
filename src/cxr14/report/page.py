"""One page that holds everything: tables as HTML, pictures inside it, no outside reference."""

import sys
from pathlib import Path

import vl_convert

from cxr14.console import PHANTOM_NOTE
from cxr14.io import write_text
from cxr14.report import html
from cxr14.report.fairness import subgroup_section
from cxr14.report.html import Section
from cxr14.report.localization import box_section
from cxr14.report.published import own_kind
from cxr14.report.sections import (
    adjudicated_section,
    curve_section,
    difference_section,
    finding_section,
    headline_section,
    noted,
    published_section,
)
from cxr14.report.summary import Results
from cxr14.report.summary_tables import sample

TITLE = "ChestX-ray14: results"
EDA = (
    *("label_distribution", "sex", "sex_by_finding", "age", "age_by_finding"),
    *("sample_single", "sample_multi"),
)
"""The study's figures 1–7, in its order."""


def render(results: Results, caution: str, plots: Path) -> str:
    """Return the page.

    Args:
        results: of all stages.
        caution: what has to be said above the tables.
        plots: folder of the pictures, with compare/subgroups.png, eda/*.png and localize/B/*.png.

    Raises:
        FileNotFoundError: a figure was not drawn.
    """
    groups = (plots / "compare" / "subgroups.png").read_bytes()
    sections = (
        headline_section(results),
        finding_section(results),
        published_section(results),
        difference_section(results),
        curve_section(results),
        subgroup_section(results, groups),
        adjudicated_section(results),
        box_section(results),
        sheet_section(results, sorted((plots / "localize" / results.best).glob("*.png"))),
        record_section(results, [plots / "eda" / f"{name}.png" for name in EDA]),
    )
    facts = (
        f"{sample(results)}; {own_kind(results)}. Backbones: {', '.join(results.backbones)}; "
        f"chosen by validation: {results.best}."
    )
    return html.page(TITLE, caution, facts, [one for one in sections if one is not None])


def sheet_section(results: Results, paths: list[Path]) -> Section:
    """Contact sheets of the chosen backbone: where its heatmaps hit best and worst."""
    how = (
        "Each sheet shows the images of one finding that were hit best and worst, chosen by "
        "IoBB and not by eye. Red is heat; the solid box was drawn by a radiologist, the dashed "
        "ones were found at each heat threshold."
    )
    named = noted(results, f"{results.best}; n stands in each title.")
    parts = [html.picture(path, named) for path in paths]
    return Section("sheets", "Found boxes", how, tuple(parts or [html.paragraph("None.")]))


def record_section(results: Results, paths: list[Path]) -> Section:
    """Figures of the records."""
    how = (
        "These figures are of the records: labels, sexes, ages. Where a figure says train-val, the "
        "test part is not in it."
    )
    caption = "Records as the source ships them; n stands in the figure."
    if results.phantom:
        caption += f" Radiographs, where shown, are simulated: {PHANTOM_NOTE}."
    parts = [html.picture(path, caption) for path in paths]
    return Section("records", "The records", how, tuple(parts))


# A page frame for `dvc plots` that works without a network.
#
# DVC's own frame loads Vega from a content delivery network; this one carries it. It is written
# at set-up and named in .dvc/config (plots.html_template).


# DVC puts its pictures in place of {plot_divs}. Its {scripts}, which are the references to the
# outside, have no place here: the bundle defines the same vegaEmbed.
FRAME = """<!DOCTYPE html>
<html>
<head>
  <meta charset="utf-8">
  <title>DVC plots</title>
  <script type="text/javascript">BUNDLE</script>
  <style>table { border-spacing: 15px; }</style>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def main(path: str) -> None:
    """Write the frame."""
    # The stub asks for a snippet, the library brings one of its own.
    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    bundle = bundle.replace("</script", "<\\/script")
    write_text(path, FRAME.replace("BUNDLE", bundle))


if __name__ == "__main__":
    main(sys.argv[1])
