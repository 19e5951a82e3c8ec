"""The tables of metrics/localize/B/: what they hold, row by row.

Each is tidy: what tells its rows apart, finding (the last is ``mean``), n pairs, scores with
their 95 % interval, reason. Empty cells are null.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cxr14.evaluation.bootstrap import ENDS
from cxr14.localization.cases import Cases
from cxr14.localization.crossfit import crossfit
from cxr14.localization.detect import Grids
from cxr14.localization.means import means_by_finding
from cxr14.localization.pointing import pointing_and_energy
from cxr14.localization.randomisation import SIMILAR
from cxr14.localization.scoring import Rule, hits_and_false_boxes

NO_OTHER_HALF = "all boxed images are of one patient: no other half to choose a threshold"


def accuracy_and_controls(
    cases: Cases, overlaps: Mapping[str, pd.DataFrame], asked: Sequence[Rule]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the boxes of the method and of the controls.

    Args:
        cases: the boxed pairs.
        overlaps: detections with their overlaps by method; the first is the network's.
        asked: K rules.

    Returns:
        accuracy.csv: measure, limit, heat, finding, n, accuracy, afp; and controls.csv: the same
        by method, with ``ahead``: by how much the first method's accuracy exceeds this one's, its
        interval from the same resamples.
    """
    keys = [rule._asdict() for rule in asked]
    scores = {
        method: hits_and_false_boxes(cases.pairs, boxes, asked)
        for method, boxes in overlaps.items()
    }
    first, tables = next(iter(overlaps)), []
    for method, (hits, wrong) in scores.items():
        ahead = cases.means(scores[first][0].astype(int) - hits)
        measured = {"accuracy": cases.means(hits), "afp": cases.means(wrong), "ahead": ahead}
        tables.append(cases.tidy([{"method": method} | key for key in keys], measured))
    itself = tables[0].columns.str.startswith("ahead")
    tables[0].loc[:, itself] = np.nan
    return tables[0].loc[:, ~itself].drop(columns="method"), pd.concat(tables, ignore_index=True)


def pointing_table(cases: Cases, maps: Mapping[str, Grids]) -> pd.DataFrame:
    """Score the maps of each method without thresholds.

    Returns:
        pointing.csv: method, finding, n, empty (of these n, maps without any heat, which score 0
        everywhere; the mean's is their number over all findings), pointing, energy.
    """
    tables = []
    for method, grids in maps.items():
        scores = pointing_and_energy(cases, grids)
        measured = {
            name: cases.means(scores[:, [column]])
            for column, name in enumerate(("pointing", "energy"))
        }
        table = cases.tidy([{"method": method}], measured)
        table.insert(3, "empty", cases.counts(np.asarray(~grids.any(axis=(1, 2)))))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def crossfit_table(cases: Cases, overlaps: pd.DataFrame, asked: Sequence[Rule]) -> pd.DataFrame:
    """Score at the heat threshold that the other half of the patients chose.

    Args:
        cases: the boxed pairs.
        overlaps: detections at every threshold of crossfit.GRID, with their overlaps.
        asked: rules, whose heat thresholds are not looked at.

    Returns:
        measure, limit, chosen_on_first, chosen_on_second (heat thresholds, each scored on the
        other half), finding, n, accuracy, afp.
    """
    limits = list(dict.fromkeys((rule.measure, rule.limit) for rule in asked))
    fitted = crossfit(cases, overlaps, limits)
    keys = [
        {"measure": measure, "limit": limit, "chosen_on_first": first, "chosen_on_second": second}
        for (measure, limit), (first, second) in zip(limits, fitted.chosen, strict=True)
    ]
    measured = {"accuracy": cases.means(fitted.hits), "afp": cases.means(fitted.wrong)}
    table = cases.tidy(keys, measured)
    unchosen = table["accuracy"].isna() & (table["n"] > 0).fillna(False)
    return table.assign(reason=table["reason"].mask(unchosen, NO_OTHER_HALF))


def randomisation_table(cases: Cases, similarity: pd.DataFrame) -> pd.DataFrame:
    """Average the similarity of maps before and after weights were made anew.

    Args:
        cases: the boxed pairs.
        similarity: see randomisation.randomised_similarity; of an ensemble, the rows of all its
            networks.

    Returns:
        anew, images, n (maps compared, of each network and pair), flat (those left out, as a flat
        map has no order), similarity (mean ρ), absolute (mean |ρ|: a map turned inside out shows
        the image as well), limit, unchanged (1 if ``absolute`` is above the limit), reason.
    """
    rows = []
    for anew, column in similarity.items():
        known = column.dropna()
        places, values = known.index.to_numpy(), known.to_numpy(np.float64)[:, None]
        together, weights = np.full(len(known), "all"), cases.weights[:, places]
        means = means_by_finding(values, together, ["all"], weights)
        names = [f"similarity{end}" for end in ENDS]
        rows.append(
            {"anew": anew, "images": cases.pairs["image"].iloc[places].nunique()}
            | {"n": len(known), "flat": len(column) - len(known)}
            | {name: float(numbers[0, 0]) for name, numbers in zip(names, means, strict=True)}
            | {"absolute": float(column.abs().mean())}
        )
    table = pd.DataFrame(rows).assign(limit=SIMILAR)
    reason = np.where(table["n"] > 0, "", "no pair of maps to compare")
    return table.assign(unchanged=(table["absolute"] > SIMILAR).astype(int), reason=reason)
