"""The first screen: what was run, the networks in one chart, key sentences, heatmaps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr14.report.cohort import Cohort
from cxr14.report.elements import Chart, Gallery
from cxr14.report.facts import DATA, Change, Fact, changed_params, data_hashes, run_facts
from cxr14.report.gallery import highlights
from cxr14.report.score_charts import forest
from cxr14.report.sentences import calibration, controls, flag, ranking, subgroup_gap
from cxr14.report.summary import Results


@dataclass(frozen=True)
class Overview:
    """The elements of the first screen."""

    caution: str
    facts: Sequence[Fact]
    changes: Sequence[Change]
    hashes: Mapping[str, str]
    files: Mapping[str, str]  # path by name of a hash
    chart: Chart
    sentences: Mapping[str, str]
    heatmaps: Gallery | None


def read_overview(root: Path, results: Results, cohort: Cohort, gallery: Gallery) -> Overview:
    """Return the first screen.

    Args:
        root: of the project, with params.yaml and data.
        results: of all backbones.
        cohort: the images of the run.
        gallery: heatmaps of the chosen backbone.
    """
    return Overview(
        results.source.caution,
        run_facts(results, cohort),
        changed_params(root / "params.yaml"),
        data_hashes(root),
        DATA,
        forest(results),
        key_sentences(results),
        highlights(gallery, results.source),
    )


def key_sentences(results: Results) -> dict[str, str]:
    """Return the result in one sentence or two by topic, as far as it was measured."""
    localized = [*controls(results)[:1], flag(results)]
    texts = {
        "Best model": ranking(results),
        "Calibration": calibration(results),
        "Localization": " ".join(filter(None, localized)),
        "Subgroups": subgroup_gap(results),
    }
    return {topic: text for topic, text in texts.items() if text}
