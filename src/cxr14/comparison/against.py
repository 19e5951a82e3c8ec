"""Networks of the work tree beside those of an earlier run, on the images that both answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cxr14.comparison.answers import Answers, answers_of, network_files, on_test, read_network
from cxr14.comparison.differences import DIFFERENCE, common_findings, difference_rows, macro_values
from cxr14.comparison.earlier import Earlier
from cxr14.comparison.resampling import draw
from cxr14.data.labels import label_matrix
from cxr14.data.stored import RECORDS, SOURCE, read_records, read_source
from cxr14.errors import UserError
from cxr14.evaluation.bootstrap import RESAMPLES, SEED


@dataclass(frozen=True)
class Run:
    """One network of one run.

    Attributes:
        rows: its predictions/B.parquet on test, sorted by image.
        decision: its evaluation/B/decision.json.
        records: all records of the run, by image.
    """

    rows: pd.DataFrame
    decision: dict[str, Any]
    records: pd.DataFrame

    def answers(self, images: list[str]) -> Answers:
        """Return its answers for some of its images, in their order."""
        return answers_of(self.rows.set_index("image").loc[images], self.decision)


def compare_with(
    revision: str, backbones: Sequence[str], resamples: int = RESAMPLES
) -> tuple[pd.DataFrame, list[str]]:
    """Compare networks of the work tree with those of the same name in a revision.

    Returns:
        A row per backbone and measure (backbone, measure, here, there, difference = here − there,
        low, high, left_out, images, patients, findings), and what is not compared, in words.

    Raises:
        FileNotFoundError: the revision or DVC's cache lacks a file.
        UserError: there is no such revision, no backbone or no image in common, or one run is of
            phantoms and the other is not.
    """
    earlier = Earlier(revision)
    both = [name for name in backbones if earlier.has(network_files(name)[0])]
    if not both:
        raise UserError(f"{revision} has no predictions of {', '.join(backbones)}")
    if read_source()["phantom"] != earlier.json(SOURCE)["phantom"]:
        raise UserError(f"one of {revision} and the work tree is of phantoms; nothing to compare")
    both_records = read_records(), earlier.table(RECORDS)
    records = [table.set_index("image") for table in both_records]
    rows: list[dict[str, Any]] = []
    told: dict[str, list[str]] = {}
    for name in both:
        here = Run(*read_network(name), records[0])
        predictions, decision = network_files(name)
        there = Run(on_test(earlier.table(predictions)), earlier.json(decision), records[1])
        images, note = shared_images(here, there)
        told.setdefault(note, []).append(name)
        rows += [{"backbone": name, **row} for row in compare(here, there, images, resamples)]
    absent = [f"{revision} has no {name}" for name in backbones if name not in both]
    return pd.DataFrame(rows), [*(f"{', '.join(told[note])}: {note}" for note in told), *absent]


def shared_images(here: Run, there: Run) -> tuple[list[str], str]:
    """Find the test images that two runs have with the same labels and patient.

    Returns:
        Them, sorted, and how many they are and how many are not compared, in words.

    Raises:
        UserError: there are none.
    """
    own, other = (run.rows["image"].tolist() for run in (here, there))
    both = sorted(set(own) & set(other))
    facts = [
        np.column_stack([label_matrix(run.records.loc[both]), run.records.loc[both, "patient"]])
        for run in (here, there)
    ]
    same = (facts[0] == facts[1]).all(axis=1)
    images = [name for name, alike in zip(both, same, strict=True) if alike]
    counts = {
        "only here": len(own) - len(both),
        "only there": len(other) - len(both),
        "with other labels or another patient": len(both) - len(images),
    }
    left = ", ".join(f"{count} {why}" for why, count in counts.items())
    if not images:
        raise UserError(f"the two runs share no test image with the same labels ({left})")
    return images, f"{len(images)} test images compared; not compared {left}"


def compare(
    here: Run, there: Run, images: list[str], resamples: int = RESAMPLES
) -> list[dict[str, Any]]:
    """Score two networks on the same images under the same resamples, a row per measure."""
    answers = [run.answers(images) for run in (here, there)]
    records = here.records.loc[images]
    drawn = draw(records["patient"].to_numpy(), np.random.default_rng(SEED), resamples)
    findings = common_findings(answers, records)
    one, other = (macro_values(own, records, findings, drawn) for own in answers)
    counts = {"images": len(images), "patients": len(drawn.counts), "findings": len(findings)}
    return [
        {
            "measure": row["measure"],
            "here": one[row["measure"]][0],
            "there": other[row["measure"]][0],
            **{key: row[key] for key in DIFFERENCE},
            **counts,
        }
        for row in difference_rows(one, other)
    ]
