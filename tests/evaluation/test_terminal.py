"""The table of findings that evaluation prints."""

import io
from dataclasses import replace

import numpy as np
from rich.console import Console

from cxr14.console import TABLE_WIDTH, format_number
from cxr14.datasets.records import PHANTOM_NOTE
from cxr14.evaluation.evaluate import measure, score
from cxr14.report.terminal import findings_table
from tests.evaluation.answers import EDEMA, few, part, rows
from tests.sources import OFFICIAL, PHANTOM


def printed(scores, source=PHANTOM, note=""):
    console = Console(width=TABLE_WIDTH, file=io.StringIO(), record=True)
    console.print(findings_table("alexnet", scores, source, note))
    return console.export_text()


def test_the_printed_table_shows_intervals_dashes_reasons_and_phantom(scored):
    text = printed(scored[1])
    assert PHANTOM_NOTE in " ".join(text.split())
    assert "Mass: validation holds no positives" in " ".join(text.split())
    lines = {line.split()[0]: line for line in text.splitlines() if line.split()}
    row = rows(scored[1].findings)["Edema"]
    own = f"{format_number(row['auroc'])} ({format_number(row['auroc_low'])}–{format_number(row['auroc_high'])})"
    assert own in lines["Edema"]
    assert lines["Hernia"].split()[1:4] == ["0", "–", ".000"]
    assert "…" not in text  # it fits its width
    assert "macro mean" in text


def test_a_note_on_the_initial_weights_is_the_last_line(scored):
    assert printed(scored[1], note="trained on the test images").rstrip().endswith("test images")


def test_a_mean_without_interval_says_why_below_the_table(study, scored):
    labels, *others = part(study, "test")
    labels = labels.copy()
    labels[:, EDEMA] = np.arange(90) < 3  # all positives in one patient
    scores = measure(labels, *others, scored[0], np.random.default_rng(0), n_replicates=50)
    head = scores.headline | {"validation_macro_auroc": None}
    assert "macro mean: no interval" in printed(replace(scores, headline=head))


def test_the_printed_table_of_fewer_classes_lists_them_alone(study):
    classes = ("Effusion", "Edema")
    _, scores = score("alexnet", *few(study, classes), np.random.default_rng(0), classes)
    text = " ".join(printed(scores, source=OFFICIAL).split())
    assert "means over 2 findings" in text
    assert "Effusion" in text
    assert "Mass" not in text
    assert "No Finding" not in text
    assert PHANTOM_NOTE not in text


def test_numbers_lose_only_a_leading_nought():
    assert [
        format_number(0.5),
        format_number(10.05, 2),
        format_number(1.0, 1),
        format_number(0.0),
        format_number(None),
    ] == [
        ".500",
        "10.05",
        "1.0",
        ".000",
        "–",
    ]
