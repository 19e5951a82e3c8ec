"""Result table of the ablation, one row per backbone, group, measure and arm."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import product

import pandas as pd

from ablation.collect import GroundTruth
from ablation.differences import BIAS_SHIFTS, MEASURES, compare, resampled_means
from ablation.plan import ARMS, REFERENCE, Experiment
from cxr14.evaluation.measures import Predictions
from cxr14.labels import FINDINGS

GROUPS = ("rare", "all")


def outcome(
    ground_truth: GroundTruth,
    predictions: Mapping[tuple[str, str], Predictions],
    experiments: Sequence[Experiment],
    backbones: Sequence[str],
) -> pd.DataFrame:
    """Compare every arm with the reference.

    Args:
        ground_truth: of the test split.
        predictions: by name of the experiment and backbone.
        experiments: all arms, each with all seeds.
        backbones: compared one by one.

    Returns:
        Columns group, measure, backbone, arm and the fields of `Difference`; the reference among
        the arms, with differences of 0.
    """
    groups = {
        "rare": [FINDINGS.index(name) for name in ground_truth.rare],
        "all": [*range(len(FINDINGS))],
    }
    rows = []
    for backbone in backbones:
        networks = {
            experiment.name: predictions[experiment.name, backbone] for experiment in experiments
        }
        means = resampled_means(ground_truth.labels, ground_truth.patients, networks, groups)
        for (g, group), (m, measure), arm in product(enumerate(GROUPS), enumerate(MEASURES), ARMS):
            seeds, reference = (
                [
                    means[experiment.name][m, g]
                    for experiment in experiments
                    if experiment.arm == wanted
                ]
                for wanted in (arm, REFERENCE)
            )
            names = {"group": group, "measure": measure, "backbone": backbone, "arm": str(arm)}
            rows.append(names | asdict(compare(seeds, reference, BIAS_SHIFTS.get(measure, 0))))
    return pd.DataFrame(rows)
