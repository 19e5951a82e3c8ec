"""Mean probability, its logit, and the spread of several networks."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit

from cxr14.chexnext.ensemble import mean_probability, spread
from cxr14.evaluation.predictions import logit_of_mean

LOGITS = st.floats(-30, 30, width=32)
SEVERAL = st.lists(hnp.arrays(np.float32, (3, 2), elements=LOGITS), min_size=1, max_size=4)


def test_the_mean_is_of_probabilities_not_of_logits() -> None:
    one, other = (np.array([[value]], np.float32) for value in (0.0, 4.0))
    expected = (0.5 + expit(4.0)) / 2
    np.testing.assert_allclose(mean_probability([one, other]), [[expected]])
    np.testing.assert_allclose(expit(logit_of_mean([one, other])), [[expected]], rtol=1e-6)
    assert abs(expected - expit(2.0)) > 0.1


@settings(deadline=None)  # a busy machine is no failure
@given(SEVERAL)
def test_the_logit_gives_back_the_mean_and_is_finite(logits) -> None:
    made = logit_of_mean(logits)
    assert made.dtype == np.float32
    assert np.isfinite(made).all()
    np.testing.assert_allclose(expit(made.astype(float)), mean_probability(logits), rtol=1e-5)


@settings(deadline=None)  # a busy machine is no failure
@given(SEVERAL)
def test_one_network_alone_keeps_its_logits_and_has_no_spread(logits) -> None:
    np.testing.assert_allclose(logit_of_mean(logits[:1]), logits[0], atol=1e-5)
    assert (spread(logits[:1]) == 0).all()
    assert (spread(logits) <= 0.5 + 1e-6).all()


def test_two_networks_that_contradict_each_other_are_half_apart() -> None:
    sure = np.array([[20.0]], np.float32)
    np.testing.assert_allclose(spread([sure, -sure]), [[0.5]], atol=1e-6)
