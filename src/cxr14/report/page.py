"""The self-contained HTML page: first screen, charts, gallery of heatmaps, tables.

It has no outside reference: the script of Vega is in it, from vl-convert's bundle, and every
picture is a data URI. Equal inputs give equal bytes: identifiers are numbered in the order of the
page, and it states neither time nor commit.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from cxr14.config.localize import LocalizeParams
from cxr14.console import format_number
from cxr14.datasets.records import PHANTOM_NOTE
from cxr14.figures.plots_template import vega_script
from cxr14.figures.style import PALETTE
from cxr14.report.charts import THEME
from cxr14.report.cohort import Cohort, read_cohort
from cxr14.report.cohort_charts import (
    pair_matrix,
    pair_table,
    prevalence_dots,
    prevalence_table,
    pyramid,
)
from cxr14.report.elements import (
    Chart,
    Details,
    Gallery,
    Part,
    Section,
    Subtitle,
    read_figure,
    spaced,
)
from cxr14.report.external import external_section
from cxr14.report.gallery import read_gallery, tile_label
from cxr14.report.localization import localization_tables, sanity_table
from cxr14.report.localization_charts import (
    accuracy_lines,
    control_leads,
    finding_hits,
    sanity_dots,
)
from cxr14.report.overview import Overview, read_overview
from cxr14.report.score_charts import external_dots, subgroup_dots
from cxr14.report.sections import (
    calibration_section,
    classification_section,
    operating_section,
)
from cxr14.report.sentences import boxes, controls, flagged, selection
from cxr14.report.subgroups import subgroup_tables
from cxr14.report.summary import Results
from cxr14.serving.models import file_stem

TITLE: Final = "ChestX-ray14: results"
EDA: Final = {
    "label_distribution": "Bars: number of images of each finding, with one label or with several.",
    "sex": "Bars: share of images of men and of women.",
    "sex_by_finding": "Bars: share of images of men and of women for each finding.",
    "age": "Histogram: number of images by age in years.",
    "age_by_finding": "Distribution of age in years for each finding.",
    "sample_single": "Radiographs: an image of each finding that has this label alone.",
    "sample_multi": "Radiographs: images with several labels, which are written above each.",
}
"""The study's figures 1–7, in its order, with their alternative texts."""


def read_and_render(root: Path, results: Results, params: LocalizeParams) -> str:
    """Read the images and heatmaps of the project, and return the page as HTML.

    Args:
        root: of the project.
        results: of all stages.
        params: the block localize.

    Raises:
        UserError: a file is missing or damaged.
    """
    cohort = read_cohort(root)
    gallery = read_gallery(root, results.best, params, results.source)
    overview = read_overview(root, results, cohort, gallery)
    return render(results, overview, cohort, gallery, root / "plots")


def render(
    results: Results, overview: Overview, cohort: Cohort, gallery: Gallery, plots: Path
) -> str:
    """Return the page as HTML.

    Args:
        results: of all stages.
        overview: the first screen.
        cohort: the images of the run.
        gallery: heatmaps of the chosen backbone.
        plots: folder of figures, with eda/*.png.

    Raises:
        FileNotFoundError: a figure is missing.
    """
    figures = [plots / "eda" / f"{name}.png" for name in EDA]
    sections = (
        data_section(results, cohort, figures),
        classification_section(results),
        calibration_section(results),
        operating_section(results),
        subgroup_section(results),
        localization_section(results, gallery),
        faithfulness_section(results),
        *(
            external_section(results, name, external_dots(results, name))
            for name in results.external
        ),
        limits_section(results),
    )
    return render_page(TITLE, sections, overview, results.backbones, card_links(results))


def card_links(results: Results) -> list[tuple[str, str]]:
    """Return text and address, relative to the page, of each card of cards.write_cards."""
    names = {name: f"model_{name}" for name in results.backbones}
    names["data"] = f"data_{results.source.name}"
    return [(text, f"cards/{file_stem(name)}.html") for text, name in names.items()]


def render_page(
    title: str,
    sections: Sequence[Section],
    overview: Overview | None = None,
    backbones: Sequence[str] = (),
    cards: Sequence[tuple[str, str]] = (),
) -> str:
    """Fill templates/page.html; all texts are escaped."""
    environment = Environment(
        loader=PackageLoader("cxr14.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": format_number,
        "spaced": spaced,
        "tile_label": tile_label,
    }
    charted = any(isinstance(part, Chart) for part in _all_parts(sections, overview))
    return environment.get_template("page.html").render(
        title=title,
        sections=sections,
        overview=overview,
        backbones=list(backbones),
        cards=list(cards),
        palette=PALETTE,
        theme=THEME,
        vega=vega_script() if charted else "",
    )


def _all_parts(sections: Sequence[Section], overview: Overview | None) -> Iterator[Any]:
    if overview:
        yield overview.chart
    for section in sections:
        yield from _flat(section.parts)


def _flat(parts: Iterable[Part]) -> Iterator[Part]:
    for part in parts:
        yield part
        if isinstance(part, Details):
            yield from _flat(part.parts)


def data_section(results: Results, cohort: Cohort, figures: Sequence[Path]) -> Section:
    """Return the section on the images: prevalence by split, age and sex, label pairs."""
    how = (
        "These charts show the images that networks are trained and tested on. A finding whose "
        "share differs between the splits shifts average precision, F1 and calibration."
    )
    source = results.source
    caption = "Records as published by the source, all with or without pixels; n is in the figure."
    if source.phantom:
        caption += f" Radiographs in the figures are simulated ({PHANTOM_NOTE})."
    parts = (
        Subtitle("Prevalence by split"),
        prevalence_dots(cohort, source),
        Details("Table: prevalence by split", (prevalence_table(cohort, source),)),
        Subtitle("Age and sex"),
        pyramid(cohort, source),
        Subtitle("Findings that occur together"),
        pair_matrix(cohort, source),
        Details("Table: images with both findings", (pair_table(cohort, source),)),
        Details(
            "Figures of all records (train and val), as in the study",
            [read_figure(path, EDA[path.stem], caption) for path in figures],
        ),
    )
    return Section("data", "Data", how, parts)


def subgroup_section(results: Results) -> Section:
    """Return the section on patient subgroups."""
    how = (
        "A model can be right on average and wrong more often for some: groups are compared at the "
        "one threshold that all share. A gap is the group minus the others; one whose interval "
        "contains 0 may be chance, and small groups give wide intervals."
    )
    return Section(
        "subgroups", "Subgroups", how, [subgroup_dots(results), *subgroup_tables(results)]
    )


def localization_section(results: Results, gallery: Gallery) -> Section:
    """Return the section on boxes: accuracy beside controls, gallery, tables."""
    how = (
        "A finding is hit at T if a box detected in the heatmap overlaps the ground-truth box by "
        "more than T: IoBB is the intersection over the area of the detected box, IoU over the "
        "union. A method must beat the control baselines, which see no image."
    )
    if not results.localize[results.best]["boxed_images"]:
        nothing = "No image has a ground-truth box: there is nothing to score."
        return Section("localization", "Localization", how, (nothing,))
    parts: list[Part] = [
        *filter(None, [boxes(results)]),
        *controls(results)[1:],
        Subtitle("Gallery"),
        gallery,
        Subtitle("Beside the control baselines"),
        accuracy_lines(results),
        control_leads(results),
        Subtitle("By finding"),
        finding_hits(results),
        *localization_tables(results),
    ]
    return Section("localization", "Localization", how, parts)


def faithfulness_section(results: Results) -> Section:
    """Return the section of the sanity check of heatmaps."""
    how = (
        "Heatmaps are compared with those of the same network with random weights (Adebayo et al. "
        "2018), by rank correlation: first those of the head are random, then all. Maps that stay "
        "alike with all weights random show the image rather than what was learnt, and are flagged."
    )
    if results.tables["sanity_check"]["similarity"].isna().all():
        return Section("faithfulness", "Faithfulness", how, ("No heatmap could be compared.",))
    parts = (
        flagged(results),
        sanity_dots(results),
        Details(f"Table: sanity check of {results.best}", (sanity_table(results),)),
    )
    return Section("faithfulness", "Faithfulness", how, parts)


def limits_section(results: Results) -> Section:
    """Return the section on what the numbers do not say."""
    how = (
        "Intervals hold the variation between patients. They hold neither that between trainings "
        "(one seed) nor that between hospitals."
    )
    texts = [
        "Not a medical device: for research and teaching alone.",
        "Labels are mined from reports; a label is no diagnosis, and some are wrong.",
        "Intervals are at 95 % each, without adjustment for their number.",
        selection(results),
    ]
    if results.source.phantom:
        texts.insert(1, f"{PHANTOM_NOTE[0].upper()}{PHANTOM_NOTE[1:]}. Pixels are simulated.")
    return Section("limits", "Limits", how, texts)
