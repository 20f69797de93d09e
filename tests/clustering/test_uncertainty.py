import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.clustering.uncertainty import label_uncertainty, least_uncertain, selected_share
from tests.oracles import uncertainty as oracle
from tests.oracles.cases import seeds, unit_normal

N, K, D = 11, 4, 5


def drawn(seed: int):
    rng = np.random.default_rng(seed)
    return unit_normal(rng, N, D), unit_normal(rng, K, D), rng.integers(0, K, N)


@given(seeds, st.floats(0.1, 50), st.floats(0.05, 0.999))
def test_uncertainty_is_the_divergence_of_what_is_said_from_the_ideal(seed, scale, peak):
    features, centres, labels = drawn(seed)
    found = label_uncertainty(features, centres, labels, scale=scale, peak=peak)
    expected = oracle.label_uncertainty(features, centres, labels, scale, peak)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_a_sample_at_its_centre_is_more_certain_than_one_between_two_centres():
    centres = np.eye(3)
    features = np.array([[1.0, 0, 0], [np.sqrt(0.5), np.sqrt(0.5), 0], [0, 1.0, 0]])
    at_centre, between, wrong = label_uncertainty(features, centres, np.zeros(3, int))
    assert at_centre < between < wrong


def test_one_cluster_alone_leaves_every_sample_as_uncertain_as_the_others():
    features, centres, _ = drawn(0)
    found = label_uncertainty(features, centres[:1], np.zeros(N, int))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, found[0])


@given(st.floats(0, 1), st.floats(0.01, 1), st.floats(0.01, 20))
def test_the_share_is_that_of_the_schedule(progress, first, bend):
    expected = oracle.selected_share(progress, first, bend)
    assert selected_share(progress, first=first, bend=bend) == pytest.approx(expected, rel=1e-9)


def test_the_share_grows_from_the_first_one_to_all():
    shares = [selected_share(t / 9, first=0.3, bend=1.5) for t in range(10)]
    assert shares[0] == pytest.approx(0.3)
    assert shares[-1] == pytest.approx(1.0)
    assert shares == sorted(shares)


@given(seeds, st.integers(1, N))
def test_the_least_uncertain_are_selected_and_those_as_uncertain_as_the_last(seed, number):
    uncertainty = np.random.default_rng(seed).integers(0, 5, N) / 5
    found = least_uncertain(uncertainty, share=number / N)
    assert set(np.flatnonzero(found)) == oracle.least_uncertain(uncertainty, number)


def test_a_share_of_less_than_one_sample_selects_one():
    assert least_uncertain(np.array([0.3, 0.1, 0.2]), share=0.01).tolist() == [False, True, False]


def test_a_share_that_rounding_keeps_from_all_selects_all():
    share = selected_share(1.0, first=0.3, bend=1.7)
    assert least_uncertain(np.arange(12936) / 7, share=min(share, 1 - 1e-15)).all()
