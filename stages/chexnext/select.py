"""Choose the subset of members whose average is best on validation; the rule and its outcome.

    python -m stages.chexnext.select

Reads chexnext/logits/members, chexnext/models/members, chexnext/data/labels.parquet, data/split,
data/cache, data/records/source.json, chexnext/params.yaml (members, select).
Writes chexnext/selection/selection.json, chexnext/metrics/select.json.
"""

from typing import Any

import numpy as np
from scipy.special import expit

from cxr14.chexnext.ensemble import choose, score_by
from cxr14.chexnext.paths import LABELS, MEMBERS, ROOT, SELECTION, Place, places, read_logits, see
from cxr14.config.chexnext import read_members, read_select
from cxr14.datasets.records import read_records, read_source, read_split
from cxr14.io import write_json, write_metrics
from cxr14.labels import label_matrix
from cxr14.models.serialization import read_description
from cxr14.report.summary_tables import print_tables, selection_table
from stages import run


def main() -> None:
    """Run the stage."""
    params, rule = read_members(), read_select()
    members = places(MEMBERS, params.backbones, params.seeds)
    classes = read_description(members[0].model / "model.json")["classes"]
    seen = see("data/cache", read_records(LABELS), read_split())
    val = seen.within("val")
    labels = label_matrix(seen.images[val], classes)
    logits = [read_logits(own.logits, len(seen.rows), classes)[val] for own in members]
    answers = np.stack([expit(own.astype(np.float64)) for own in logits])

    score = score_by(rule.measure, labels, answers, classes)
    fold_of = [params.fold_of(own.seed) for own in members]
    chosen, best, tried, search = choose(score, fold_of, rule.exhaustive_up_to)
    alone = [score((place,)) for place in range(len(members))]
    phantom = bool(read_source()["phantom"])
    everyone = score(tuple(range(len(members))))
    facts = {"measure": rule.measure, "search": search, "subsets": tried, "folds": params.folds}
    facts |= {"score": best, "score_of_all": everyone, "phantom": phantom}
    outcome = facts | {"members": described(members, fold_of, alone, set(chosen))}
    write_json(SELECTION, outcome)
    numbers = {"members": len(members), "chosen": len(chosen), "subsets": tried}
    scores = {"score": best, "score_of_all": everyone, "score_of_best_single": max(alone)}
    write_metrics(ROOT / "metrics/select.json", numbers | scores | {"phantom": int(phantom)})
    print_tables(selection_table(outcome))


def described(
    members: list[Place], fold_of: list[int], alone: list[float], chosen: set[int]
) -> dict[str, dict[str, Any]]:
    """Say of each member by name which fold it leaves out, what it scores, and if it is chosen."""
    return {
        own.name: {"fold": fold_of[n], "score": alone[n], "chosen": n in chosen}
        for n, own in enumerate(members)
    }


if __name__ == "__main__":
    run(main, __doc__)
