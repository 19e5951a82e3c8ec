"""The picture of the subgroups."""

import numpy as np
import pytest

from cxr14.console import NOT_TRAINED
from cxr14.datasets.records import PHANTOM_NOTE
from cxr14.evaluation.measures import predictions_of
from cxr14.evaluation.subgroups import subgroup_tables
from cxr14.figures.subgroups import PANELS, subgroups, write_picture
from cxr14.labels import NO_FINDING
from cxr14.metrics.bootstrap import draw_replicates
from tests.evaluation.comparison.conftest import make_decision, make_records, make_rows
from tests.sources import OFFICIAL, PHANTOM


@pytest.fixture(scope="module")
def table(records, answers, resamples):
    return subgroup_tables(records, answers, resamples)[0]


def texts(figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(lambda o: hasattr(o, "get_text")))


def test_every_group_of_one_attribute_has_a_row_with_its_images(table):
    figure = subgroups(table, source=PHANTOM)
    names = [label.get_text().split("\n")[0] for label in figure.axes[0].get_yticklabels()]
    ages = ["age 20–39", "age 40–59", "age 60–79"]
    assert names == ["everyone", "female", "male", *ages, "AP", "PA"]
    assert "240 images\n14 findings" in figure.axes[0].get_yticklabels()[0].get_text()
    assert len(figure.axes) == len(PANELS)


def test_dots_are_the_values_of_the_table(table):
    panel = subgroups(table, source=OFFICIAL).axes[0]
    (line,) = [line for line in panel.lines if line.get_label() == "poor"]
    own = table[(table["finding"] == "macro") & ~table["attribute"].str.contains("×")]
    assert list(line.get_xdata()) == list(own[own["backbone"] == "poor"]["auroc"])


def test_phantoms_are_labelled_and_real_pixels_are_not(table):
    assert PHANTOM_NOTE in texts(subgroups(table, source=PHANTOM))
    assert PHANTOM_NOTE not in texts(subgroups(table, source=OFFICIAL))


def test_equal_tables_give_equal_bytes(table, tmp_path):
    for name in ("a.png", "b.png"):
        write_picture(tmp_path / name, table, source=PHANTOM)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_groups_without_a_score_say_so_instead_of_failing():
    few = make_records(9)
    drawn = draw_replicates(few["patient"].to_numpy(), np.random.default_rng(1), 20)
    own = {"good": predictions_of(make_rows(few, 1.5, 1), make_decision())}
    figure = subgroups(subgroup_tables(few, own, drawn)[0], source=OFFICIAL)
    rows = len(figure.axes[0].get_yticklabels())
    assert texts(figure).count("too few") == rows * len(PANELS)


def test_panels_of_a_class_that_was_not_trained_say_that(records, resamples):
    """They said that there were too few images."""
    names = [f"{kind} {name}" for kind in ("logit", "probability") for name in ("Mass", "Nodule")]
    rows = make_rows(records, 1.5, 1)[["image", "split", *names]]
    own = {"b": predictions_of(rows, make_decision())}
    figure = subgroups(subgroup_tables(records, own, resamples)[0], source=OFFICIAL)
    assert "too few" not in texts(figure)
    assert texts(figure).count(NOT_TRAINED) == 2 * len(figure.axes[0].get_yticklabels())


def test_panels_of_a_class_without_threshold_say_that(records, resamples):
    none = make_decision(reasons={NO_FINDING: "validation holds no positives among 60 images"})
    none["thresholds"][NO_FINDING] = none["platt"][NO_FINDING] = None
    own = {"b": predictions_of(make_rows(records, 1.5, 1), none)}
    figure = subgroups(subgroup_tables(records, own, resamples)[0], source=OFFICIAL)
    rows = len(figure.axes[0].get_yticklabels())
    told = [texts(figure).count(words) for words in ("too few", "no threshold", "not scaled")]
    assert told == [0, rows, rows]
