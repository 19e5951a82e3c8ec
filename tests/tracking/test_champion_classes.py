"""Scores over different classes are not compared."""

from pathlib import Path

from cxr14.io import read_json, write_json
from cxr14.models.network import build_network
from cxr14.models.serialization import save_model
from cxr14.tracking.artifacts import find_trained
from cxr14.tracking.champion import DATA
from cxr14.tracking.registry import register
from tests.tracking.conftest import predict_fake


def test_a_champion_of_other_classes_makes_way_for_scores_of_those_cannot_be_compared(
    project: Path,
) -> None:
    better, weaker = find_trained(["alexnet", "googlenet"])
    assert better.hashes()[DATA] == weaker.hashes()[DATA]
    weaker.model["classes"] = ["Mass"]
    assert better.hashes()[DATA] != weaker.hashes()[DATA]


def test_among_models_of_different_classes_those_with_the_most_are_compared(project: Path) -> None:
    """AlexNet's score is higher, but over one finding."""
    model = read_json(project / "models/alexnet/model.json")
    network = build_network("alexnet", **model["head"], seed=1, classes=("Mass",))
    save_model(project / "models/alexnet", network, model)
    predict_fake(project, "alexnet", network.eval())
    decision = {"format": 1, "thresholds": {"Mass": 0.5}, "platt": {"Mass": None}, "reasons": {}}
    write_json(project / "evaluation/alexnet/decision.json", decision)
    registered = register(find_trained(["alexnet", "googlenet"])).models
    assert [one.champion for one in registered] == [False, True]
