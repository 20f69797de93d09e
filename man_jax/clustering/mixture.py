"""Separate numbers into two Gaussians by expectation and maximisation (NumPy, on the host)."""

import numpy as np
from jaxtyping import Float

NEVER_EMPTY = 10 * np.finfo(np.float64).eps


def lower_of_two_gaussians(
    values: Float[np.ndarray, " N"],
    *,
    max_iterations: int = 100,
    tolerance: float = 1e-2,
    floor: float = 5e-4,
) -> Float[np.ndarray, " N"]:
    """Compute the probability that each number is of the Gaussian with the lower mean, of a mixture of two.

        r_k(i)  = w_k N(x_i; mu_k, v_k) / sum_l w_l N(x_i; mu_l, v_l)
        w_k     = mean of r_k,   mu_k = mean of x by r_k,   v_k = mean of (x - mu_k)^2 by r_k + floor

    It begins with the two sets of least squares, and ends when the mean log-likelihood changes by less than the
    tolerance. Numbers that are all equal have the probability 1. The defaults are those of the source's code.

    Source: Li et al., "Distribution-guided hierarchical calibration contrastive network for unsupervised person
    re-identification", TCSVT 2024.
    Differs from the source: there scikit-learn's mixture begins with a random K-means.
    """
    x = np.asarray(values, np.float64)
    if len(x) == 0 or np.ptp(x) == 0:
        return np.ones(len(x))
    shares = _two_sets(x)
    model, before = _maximise(x, shares, floor), -np.inf
    for _ in range(max_iterations):
        shares, likelihood = _expect(x, *model)
        model = _maximise(x, shares, floor)
        if abs(likelihood - before) < tolerance:
            break
        before = likelihood
    shares, _ = _expect(x, *model)
    return shares[np.argmin(model[1])]


def _two_sets(x: Float[np.ndarray, " N"]) -> Float[np.ndarray, "2 N"]:
    """Cut the sorted numbers where the squares within both sets are least; equal numbers stay together."""
    order = np.sort(x)
    sizes = np.arange(1, len(x))
    lower, total = np.cumsum(order)[:-1], order.sum()
    between = lower**2 / sizes + (total - lower) ** 2 / (len(x) - sizes)
    cut = np.argmax(np.where(order[1:] > order[:-1], between, -np.inf))
    is_low = x <= order[cut]
    return np.stack([is_low, ~is_low]).astype(np.float64)


def _maximise(x: np.ndarray, shares: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sizes = shares.sum(axis=1) + NEVER_EMPTY
    means = shares @ x / sizes
    variances = (shares * (x - means[:, None]) ** 2).sum(axis=1) / sizes + floor
    return sizes / sizes.sum(), means, variances


def _expect(
    x: np.ndarray, weights: np.ndarray, means: np.ndarray, variances: np.ndarray
) -> tuple[np.ndarray, float]:
    squared = (x - means[:, None]) ** 2 / variances[:, None]
    logs = np.log(weights)[:, None] - 0.5 * (squared + np.log(2 * np.pi * variances)[:, None])
    every = np.logaddexp(*logs)
    return np.exp(logs - every), float(every.mean())
