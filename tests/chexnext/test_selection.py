"""The best subset: by hand, and greedily where there are too many."""

import numpy as np
import pytest

from cxr14.chexnext.ensemble import best_f1, choose, score_by

ONE_FOLD = [0, 0, 0]


def test_every_subset_is_tried_and_the_best_is_taken() -> None:
    tried = []

    def score(subset):
        tried.append(subset)
        return {(0, 2): 0.9}.get(subset, 0.5)

    assert choose(score, ONE_FOLD, 10) == ((0, 2), 0.9, 7, "exhaustive")
    assert len(set(tried)) == 7


def test_of_equally_good_subsets_the_smaller_and_then_the_first_is_taken() -> None:
    assert choose(lambda subset: 0.5, ONE_FOLD, 10)[0] == (0,)
    assert choose(lambda subset: float(1 in subset), ONE_FOLD, 10)[0] == (1,)


@pytest.mark.parametrize("exhaustive_up_to", [1, 10])
def test_every_fold_stays_covered_even_if_a_subset_without_it_is_better(exhaustive_up_to) -> None:
    only_the_first = choose(
        lambda subset: -len(subset) + (0 in subset), [0, 1, 1], exhaustive_up_to
    )
    assert only_the_first[0] == (0, 1)


def test_with_many_members_one_is_added_at_a_time_while_that_helps() -> None:
    gains = {0: 0.1, 1: 0.5, 2: 0.3, 3: -0.1}
    chosen, score, tried, how = choose(lambda subset: sum(gains[n] for n in subset), [0] * 4, 3)
    assert (chosen, tried, how) == ((0, 1, 2), 4 + 3 + 2 + 1, "greedy")
    assert score == pytest.approx(0.9)


def test_the_score_is_of_the_averaged_probabilities_and_without_no_finding() -> None:
    """Two members, each wrong about another image, are right together."""
    labels = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], float)
    mass = np.array([[0.9, 0.4, 0.5, 0.1], [0.4, 0.9, 0.1, 0.5]])
    probabilities = np.stack([mass, np.full_like(mass, 0.5)], axis=2)  # (members, images, classes)
    classes = ["Mass", "No Finding"]
    auroc = score_by("auroc", labels, probabilities, classes)
    assert auroc((0,)) == pytest.approx(0.75)
    assert auroc((0, 1)) == 1.0
    f1 = score_by("f1", labels, probabilities, classes)
    assert f1((0,)) == pytest.approx(0.8)  # all three from .4 upwards, one of them wrong
    assert f1((0, 1)) == 1.0


def test_the_highest_f1_is_that_of_the_best_threshold() -> None:
    labels = np.array([1, 0, 1, 0, 0])
    scores = np.array([0.9, 0.8, 0.7, 0.2, 0.1])
    by_hand = max(2 * hits / (called + 2) for hits, called in ((1, 1), (1, 2), (2, 3), (2, 4)))
    assert best_f1(labels, scores) == pytest.approx(by_hand)
    assert best_f1(np.zeros(5), scores) is None


def test_validation_without_any_finding_is_refused() -> None:
    score = score_by("auroc", np.zeros((3, 1)), np.zeros((1, 3, 1)), ["Mass"])
    with pytest.raises(ValueError, match="no finding with both positives and negatives"):
        score((0,))
