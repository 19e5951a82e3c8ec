"""What readers see of the outcome."""

import io

import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from ablation import show
from ablation.collect import rarest
from ablation.outcome import outcome
from ablation.picture import forest
from ablation.plan import ARMS, REFERENCE, Arm, Experiment
from cxr14.figures.style import export
from cxr14.labels import FINDINGS
from tests.ablation.answers import network, truth

TRUTH = truth()
BACKBONES = ["alexnet", "googlenet"]
BETTER = Arm("none", "avg")


@pytest.fixture(scope="module")
def table():
    """Unweighted is better for alexnet; lse answers as the reference does; two seeds."""
    experiments = [Experiment(f"{arm}-{seed}", arm, seed, ()) for seed in (1, 2) for arm in ARMS]
    answers = {
        (one.name, backbone): network(
            TRUTH.labels,
            1 if (one.arm, backbone) == (BETTER, "alexnet") else 3,
            one.seed if one.arm in (REFERENCE, Arm("batch", "lse")) else 10 + one.seed,
        )
        for one in experiments
        for backbone in BACKBONES
    }
    return outcome(TRUTH, answers, experiments, BACKBONES)


def test_the_outcome_puts_f1_of_rare_findings_first_and_finds_the_better_arm(table):
    assert tuple(table.loc[0, ["group", "measure", "backbone", "arm"]]) == (
        "rare",
        "F1",
        "alexnet",
        "batch, avg",
    )
    assert len(table) == 2 * 3 * 2 * 5
    own = table[table["arm"] == str(BETTER)]
    assert (own.loc[own["backbone"] == "alexnet", "low"] > 0).all()
    same = table[table["arm"] == "batch, lse"]
    assert not same[["difference", "low", "high", "seed_low", "seed_high"]].any(axis=None)


def test_markdown_and_terminal_have_a_line_per_measure_group_and_arm(table):
    text = show.markdown(table, "Title", "caption")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + 2 * 3 * 5
    assert rows[0] == "| mean over | measure | weighting, pooling | alexnet | googlenet |"
    assert rows[2].startswith("| rare findings | F1 | batch, avg | .")
    assert ".000 (.000 to .000); .000 to .000" in rows[6]
    console = Console(file=io.StringIO(), width=160)
    console.print(show.terminal(table, "Title", "caption"))
    assert console.file.getvalue().count("rare findings") == 3


def test_the_picture_is_drawn_beside_its_table(table, tmp_path):
    export(tmp_path / "outcome", table, forest, "Title", "subtitle")
    with Image.open(tmp_path / "outcome.png") as picture:
        assert picture.width == 1200
        assert len(picture.convert("L").getcolors(256)) > 10
    assert len(pd.read_csv(tmp_path / "outcome.csv")) == len(table)


def test_a_score_that_does_not_exist_is_a_dash(table):
    missing = table.assign(value=None)
    assert set(show.lines(missing)[1][3:]) == {"–"}


def test_the_rare_findings_are_those_with_the_fewest_images():
    train = pd.DataFrame({name: [1] * n + [0] * (20 - n) for n, name in enumerate(FINDINGS)})
    assert rarest(train, 3) == {FINDINGS[0]: 0, FINDINGS[1]: 0.05, FINDINGS[2]: 0.1}
