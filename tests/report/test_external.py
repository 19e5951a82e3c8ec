"""The section and the tables of an external set, read from the files of its stage."""

from pathlib import Path

import pandas as pd
import pytest

from cxr14.console import tables_as_text
from cxr14.io import write_csv, write_metrics
from cxr14.labels import CLASSES
from cxr14.report.elements import Details
from cxr14.report.external import external_section
from cxr14.report.page import read_and_render
from cxr14.report.score_charts import external_dots
from cxr14.report.summary import read_results
from cxr14.report.terminal_external import external_summary
from tests.report.images import LOCALIZE
from tests.report.written import AREAS, evaluated, findings, means, write_results
from tests.sources import OFFICIAL


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("external")
    write_results(root, OFFICIAL)
    for name, area in AREAS.items():
        folder = root / "metrics/external/city"
        numbers = evaluated(area, phantom=False) | {"gap_findings": 1, "shared_findings": 2}
        write_metrics(folder / f"{name}.json", numbers | {"images_also_in_training": 1234})
        write_csv(folder / name / "findings.csv", findings(area, CLASSES[:2]))
        ece = pd.DataFrame([{"mean": "macro_ece_platt", "value": 0.211, "chance": 0.022}])
        write_csv(folder / name / "means.csv", pd.concat([means(area)[:1], ece]))
        row = {"ours": area, "ours_low": 0.6, "ours_high": 0.9, "external": area - 0.1}
        row |= {"difference": -0.1, "low": -0.2, "high": -0.05, "reason": "few"}
        rows = [{"measure": m, "finding": f, **row} for m in ("auroc", "average_precision", "f1")
                for f in ("macro", *CLASSES[:2])]  # fmt: skip
        write_csv(folder / name / "gap.csv", pd.DataFrame(rows))
    return root


def test_the_page_has_a_section_for_each_set_and_none_without(project):
    results = read_results(project, list(AREAS), sets=["city"])
    page = read_and_render(project, results, LOCALIZE)
    assert page.count('<section id="external-') == 1
    assert "1,234 images of the set are also in our train or val split" in page
    without = read_results(project, list(AREAS))
    assert '"external-' not in read_and_render(project, without, LOCALIZE)


def test_each_backbone_has_both_scores_and_the_gap(project):
    results = read_results(project, list(AREAS), sets=["city"])
    section = external_section(results, "city", external_dots(results, "city"))
    details = next(part for part in section.parts if isinstance(part, Details))
    (table,) = details.parts
    assert [row[0] for row in table.rows] == list(AREAS)
    assert table.rows[0][1:4] == (".720\n.600–.900", ".620", "−.100 *\n−.200 to −.050")
    assert table.rows[0][-1] == ".211\nchance .022"


def test_the_chart_has_both_sides_of_every_finding(project):
    chart = external_dots(read_results(project, list(AREAS), sets=["city"]), "city")
    assert "mean .810 (.600–.900); mean .710; Atelectasis .810 (.600–.900)" in chart.alt


def test_the_terminal_table_shows_the_whole_cells(project):
    results = read_results(project, list(AREAS), sets=["city"])
    text = tables_as_text(external_summary(results, "city"))
    assert "−.200 to −.050" in text
    assert "…" not in text
