"""Labels that radiologists agreed on, beside the labels mined from reports, on the same images.

Source: Majkowska et al. 2020, "Chest Radiograph Interpretation with Deep Learning Models:
Assessment with Radiologist-adjudicated Reference Standards and Population-adjusted Evaluation",
Radiology 294:421–431. Panels of radiologists labelled 1,962 images of the official test part and
2,414 of train-val; the former are used. The table comes with the torchxrayvision package.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from cxr14.console import PHANTOM_NOTE
from cxr14.errors import UserError
from cxr14.evaluation.measures import FEWEST, Answers, difference, named, without_interval
from cxr14.io import packaged_file
from cxr14.labels import label_matrix
from cxr14.metrics.auroc import Array, Floats, aurocs
from cxr14.metrics.bootstrap import ENDS, SEED, Replicates, draw_replicates, patients_by_class

PACKAGE: Final = "torchxrayvision"
FILE: Final = "torchxrayvision/data/google2019_nih-chest-xray-labels.csv.gz"

MAPPING: Final[dict[str, tuple[str, ...]]] = {
    "Pneumothorax": ("Pneumothorax",),
    "Nodule or mass": ("Mass", "Nodule"),
    "Airspace opacity": ("Atelectasis", "Consolidation", "Edema", "Infiltration", "Pneumonia"),
    "Fracture": (),
}
"""Our findings that make up each adjudicated one.

Airspace opacity: what stands below "lung opacity" in the tree of CheXpert's labels (edema,
consolidation with pneumonia, atelectasis, and lesions, which are apart here: Pham et al. 2019,
arXiv 1911.06475), and infiltration, which CheXpert's labeller counts as a mention of airspace
opacity (its mention_phrases/airspace_opacity.txt). The mapping is ours. None of the fourteen is a
fracture.
"""

VALUES: Final = {name: {"YES", "NO"} for name in MAPPING} | {"Set Id": {"val", "test"}}
IMAGE: Final = "Image Index"
COLUMNS: Final = [
    *("backbone", "label", "mapped_from", "images", "patients"),
    *("positives", "patients_with", "patients_without"),
    *("positives_mined", "patients_with_mined", "patients_without_mined"),
    *(f"{s}{end}" for s in ("auroc_adjudicated", "auroc_mined", "difference") for end in ENDS),
    "reason",
]

Row = dict[str, Any]


def read_adjudicated(path: Path | None = None, part: str = "test") -> pd.DataFrame:
    """Read the adjudicated labels of the test images.

    Args:
        path: of the table; None for the one that torchxrayvision ships.
        part: test, or val for the 2,414 images of train-val.

    Returns:
        A row per image, by its name; a bool column per adjudicated finding.

    Raises:
        UserError: the table is not the one that is meant.
    """
    file = path or packaged_file(PACKAGE, FILE)
    table = pd.read_csv(file)
    wrong = [f"no column {name!r}" for name in (IMAGE, *VALUES) if name not in table]
    for name, allowed in VALUES.items():
        strange = set(table.get(name, pd.Series(dtype=str))) - allowed
        if strange:
            found = ", ".join(sorted(map(repr, strange))[:3])
            wrong.append(f"{name} holds {found}, allowed are {' and '.join(sorted(allowed))}")
    if IMAGE in table and table[IMAGE].duplicated().any():
        wrong.append(f"{table[IMAGE][table[IMAGE].duplicated()].iloc[0]} is listed twice")
    if wrong:
        raise UserError(
            f"{file}: {'; '.join(wrong)}; install {PACKAGE} as requirements.lock has it"
        )
    own = table[table["Set Id"] == part].set_index(IMAGE)
    return own[list(MAPPING)] == "YES"


def adjudicated_table(
    records: pd.DataFrame, answers: Mapping[str, Answers], adjudicated: pd.DataFrame, phantom: bool
) -> pd.DataFrame:
    """Score networks against adjudicated and against mined labels on the same images.

    The difference of the two AUROCs has its interval from the same resamples of the same patients.

    Several findings make one by "noisy or" of their Platt-scaled probabilities, 1 − Π(1 − p): each
    adds to the evidence, as the maximum would not let it, and unscaled ones of weighted losses
    are not on one scale. On the default run's validation part it ranks images with any of the
    findings above the others as well as the maximum or better, in eight of ten cases.

    Args:
        records: of the N test images, by image, in the order of the answers.
        answers: by backbone.
        adjudicated: see :func:`read_adjudicated`.
        phantom: whether pixels are simulated; then nothing is scored.

    Returns:
        The columns COLUMNS, a row per backbone and adjudicated finding; null with a reason where
        there is no score.
    """
    read = np.flatnonzero(records.index.isin(adjudicated.index))
    kept, truth = records.iloc[read], adjudicated.loc[records.index[read]]
    drawn = draw_replicates(kept["patient"].to_numpy(), np.random.default_rng(SEED))
    rows: list[Row] = []
    for backbone, own in answers.items():
        for label, findings in MAPPING.items():
            row: Row = {"backbone": backbone, "label": label, "mapped_from": " + ".join(findings)}
            reason = PHANTOM_NOTE if phantom else why_not(own, findings)
            if reason:
                rows.append(row | {"reason": reason})
                continue
            scores, mined = combined(own, findings)[read], label_matrix(kept, findings).max(axis=1)
            rows.append(row | _scores(truth[label].to_numpy(), mined, scores, drawn))
    return pd.DataFrame(rows, columns=COLUMNS)


def why_not(answers: Answers, findings: tuple[str, ...]) -> str | None:
    """Say why findings cannot stand for an adjudicated one; None if they can."""
    if not findings:
        return "no counterpart among the fourteen findings"
    absent = [name for name in findings if name not in answers.classes]
    if absent:
        return f"not trained on {', '.join(absent)}"
    told = [f"{name}: {answers.reasons[name]}" for name in findings if name in answers.reasons]
    return "; ".join(told) or None


def combined(answers: Answers, findings: tuple[str, ...]) -> Array:
    """Return one score per image, (N,): the logit of one finding, the noisy or of several."""
    if len(findings) == 1:
        return np.asarray(answers.of(findings)[:, 0])
    columns = [answers.classes.index(name) for name in findings]
    return np.asarray(1 - np.prod(1 - answers.calibrated[:, columns], axis=1))


def _scores(truth: Array, mined: Array, scores: Array, drawn: Replicates) -> Row:
    row: Row = {"images": len(truth), "patients": len(drawn.counts)}
    areas: dict[str, Floats] = {}
    told: list[str | None] = []
    for kind, present, end in (("adjudicated", truth > 0, ""), ("mined", mined > 0, "_mined")):
        sides = np.stack([present, ~present], axis=1)
        having, lacking = patients_by_class(sides, drawn.owner).tolist()
        row[f"positives{end}"] = int(present.sum())
        row |= {f"patients_with{end}": having, f"patients_without{end}": lacking}
        if min(having, lacking) < FEWEST:
            few = f"{having} patients with it and {lacking} without, {FEWEST} of each needed"
            told.append(f"{kind}: {few}")
        else:
            areas[f"auroc_{kind}"] = aurocs(present, scores, drawn.owner, drawn.counts)
    if len(areas) == 2:
        areas["difference"] = difference(areas["auroc_adjudicated"], areas["auroc_mined"])
    told.append(without_interval(areas))
    return row | named(areas) | {"reason": "; ".join(filter(None, told)) or None}
