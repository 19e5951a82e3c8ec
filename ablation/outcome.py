"""The outcome of the ablation as a table of data, one row per backbone, group, measure and arm."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import product

import pandas as pd

from ablation.collect import Answers, Truth
from ablation.differences import MEASURES, compare, resampled_means
from ablation.plan import ARMS, REFERENCE, Experiment
from cxr14.labels import FINDINGS

GROUPS = ("rare", "all")


def outcome(
    truth: Truth,
    answers: Mapping[tuple[str, str], Answers],
    experiments: Sequence[Experiment],
    backbones: Sequence[str],
) -> pd.DataFrame:
    """Compare every arm with the reference.

    Args:
        truth: of the test part.
        answers: by experiment's name and backbone.
        experiments: all arms, each with all seeds.
        backbones: compared one by one.

    Returns:
        Columns group, measure, backbone, arm and the fields of `Difference`; the reference among
        the arms, with differences of 0.
    """
    groups = {"rare": [FINDINGS.index(name) for name in truth.rare], "all": [*range(len(FINDINGS))]}
    rows = []
    for backbone in backbones:
        own = {one.name: answers[one.name, backbone] for one in experiments}
        means = resampled_means(truth.labels, truth.patients, own, groups)
        for (g, group), (m, measure), arm in product(enumerate(GROUPS), enumerate(MEASURES), ARMS):
            seeds, reference = (
                [means[one.name][m, g] for one in experiments if one.arm == wanted]
                for wanted in (arm, REFERENCE)
            )
            names = {"group": group, "measure": measure, "backbone": backbone, "arm": str(arm)}
            rows.append(names | asdict(compare(seeds, reference)))
    return pd.DataFrame(rows)
