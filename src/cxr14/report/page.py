"""The self-contained HTML report: tables and embedded figures, no external reference."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from cxr14.datasets.records import PHANTOM_NOTE
from cxr14.report.elements import Section, read_figure
from cxr14.report.external import external_section
from cxr14.report.localization import box_section
from cxr14.report.published import split_name
from cxr14.report.sections import (
    adjudicated_section,
    curve_section,
    difference_section,
    finding_section,
    headline_section,
    published_section,
)
from cxr14.report.subgroups import subgroup_section
from cxr14.report.summary import Results, sample

TITLE = "ChestX-ray14: results"
EDA = (
    *("label_distribution", "sex", "sex_by_finding", "age", "age_by_finding"),
    *("sample_single", "sample_multi"),
)
"""The study's figures 1–7, in its order."""


def render(results: Results, caution: str, plots: Path) -> str:
    """Return the report as HTML.

    Args:
        results: of all stages.
        caution: the sentence above the tables.
        plots: folder of figures, with compare/subgroups.png, eda/*.png and localize/B/*.png.

    Raises:
        FileNotFoundError: a figure is missing.
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
        *(external_section(results, name) for name in results.external),
        box_section(results),
        sheet_section(results, sorted((plots / "localize" / results.best).glob("*.png"))),
        record_section(results, [plots / "eda" / f"{name}.png" for name in EDA]),
    )
    facts = (
        f"{sample(results)}; {split_name(results)}. Backbones: {', '.join(results.backbones)}; "
        f"chosen by validation: {results.best}."
    )
    return render_page(TITLE, caution, facts, [section for section in sections if section])


def render_page(title: str, caution: str, facts: str, sections: Sequence[Section]) -> str:
    """Fill templates/page.html; all texts are escaped."""
    environment = Environment(
        loader=PackageLoader("cxr14.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html")
    return page.render(title=title, caution=caution, facts=facts, sections=sections)


def sheet_section(results: Results, paths: list[Path]) -> Section:
    """Return the section of contact sheets of the chosen backbone."""
    how = (
        "Each sheet shows the images of one finding with the highest and the lowest IoBB. Red is "
        "heat; solid boxes are ground truth (radiologists), dashed boxes are detected, one colour "
        "per heat threshold."
    )
    caption = results.source.label(f"{results.best}; n is in each title.")
    figures = [read_figure(path, caption) for path in paths]
    return Section("sheets", "Detected boxes", how, figures or ["None."])


def record_section(results: Results, paths: list[Path]) -> Section:
    """Return the section of figures on the records."""
    how = (
        "These figures show the records: labels, sexes, ages. Figures of train-val exclude the "
        "test split."
    )
    caption = "Records as published by the source; n is in the figure."
    if results.source.phantom:
        caption += f" Radiographs, where shown, are simulated: {PHANTOM_NOTE}."
    return Section("records", "The records", how, [read_figure(path, caption) for path in paths])
