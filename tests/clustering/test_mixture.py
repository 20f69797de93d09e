import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture

from man_jax.clustering.mixture import lower_of_two_gaussians
from tests.oracles import mixture as oracle
from tests.oracles.cases import seeds


def two_heaps(seed: int, apart: float, number: int = 80) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = np.append(rng.normal(0, 0.1, number), rng.normal(apart, 0.2, number // 4))
    return (values - values.min()) / np.ptp(values)


@given(seeds, st.floats(0.0, 2.0), st.integers(4, 80))
def test_the_probabilities_are_those_of_the_formula(seed, apart, number):
    values = two_heaps(seed, apart, number)
    np.testing.assert_allclose(
        lower_of_two_gaussians(values), oracle.lower_of_two_gaussians(values), atol=1e-7
    )


@pytest.mark.parametrize("seed", range(5))
def test_two_heaps_are_separated_as_by_scikit_learn(seed):
    values = two_heaps(seed, 1.5)
    theirs = GaussianMixture(2, max_iter=100, tol=1e-2, reg_covar=5e-4, random_state=0).fit(values[:, None])
    expected = theirs.predict_proba(values[:, None])[:, theirs.means_.argmin()]
    found = lower_of_two_gaussians(values)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.all(found[:80] > 0.5)
    assert np.all(found[80:] < 0.5)


@pytest.mark.parametrize("values", [[], [0.3], [0.3, 0.3, 0.3]])
def test_numbers_that_are_all_equal_are_of_the_lower_one(values):
    np.testing.assert_array_equal(lower_of_two_gaussians(np.array(values)), np.ones(len(values)))
