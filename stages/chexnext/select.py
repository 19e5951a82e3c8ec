"""Select the members whose average is best on validation.

    python -m stages.chexnext.select

Reads chexnext/logits/members, chexnext/models/members, chexnext/data/labels.parquet, data/split,
data/cache, data/records/source.json, chexnext/params.yaml (members, select).
Writes chexnext/selection/selection.json, chexnext/metrics/select.json.
"""

from typing import Any

import numpy as np
from scipy.special import expit

from cxr14.chexnext.ensemble import choose, score_by
from cxr14.chexnext.paths import (
    LABELS,
    MEMBERS,
    ROOT,
    SELECTION,
    NetworkPaths,
    align_to_cache,
    network_paths,
    read_logits,
)
from cxr14.config.chexnext import read_members, read_select
from cxr14.console import print_tables
from cxr14.datasets.records import read_records, read_source, read_split, write_result
from cxr14.io import write_json
from cxr14.labels import label_matrix
from cxr14.models.serialization import read_description
from cxr14.report.terminal import selection_table
from stages import run


def main() -> None:
    """Run the stage."""
    params, rule = read_members(), read_select()
    members = network_paths(MEMBERS, params.backbones, params.seeds)
    classes = read_description(members[0].model / "model.json")["classes"]
    cached = align_to_cache("data/cache", read_records(LABELS), read_split())
    val = cached.within("val")
    labels = label_matrix(cached.images[val], classes)
    logits = [read_logits(member.logits, len(cached.rows), classes)[val] for member in members]
    probabilities = np.stack([expit(member.astype(np.float64)) for member in logits])

    score = score_by(rule.measure, labels, probabilities, classes)
    fold_of = [params.fold_of(member.seed) for member in members]
    chosen, best, n_subsets, search = choose(score, fold_of, rule.exhaustive_up_to)
    alone = [score((index,)) for index in range(len(members))]
    source = read_source()
    score_of_all = score(tuple(range(len(members))))
    facts = {"measure": rule.measure, "search": search, "subsets": n_subsets, "folds": params.folds}
    facts |= {"score": best, "score_of_all": score_of_all, "phantom": source.phantom}
    outcome = facts | {"members": described(members, fold_of, alone, set(chosen))}
    write_json(SELECTION, outcome)
    numbers = {"members": len(members), "chosen": len(chosen), "subsets": n_subsets}
    scores = {"score": best, "score_of_all": score_of_all, "score_of_best_single": max(alone)}
    write_result(ROOT / "metrics/select.json", numbers | scores, source)
    print_tables(selection_table(outcome, source))


def described(
    members: list[NetworkPaths], fold_of: list[int], alone: list[float], chosen: set[int]
) -> dict[str, dict[str, Any]]:
    """Return for each member, by name, its left-out fold, its score, and if it is chosen."""
    return {
        member.name: {"fold": fold_of[n], "score": alone[n], "chosen": n in chosen}
        for n, member in enumerate(members)
    }


if __name__ == "__main__":
    run(main, __doc__)
