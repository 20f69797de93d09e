"""Calibrate noisy features by the distribution of their cluster's clean ones (NumPy, on the host)."""

from typing import Literal

import numpy as np
from jaxtyping import Float, Int

Covariance = Literal["class", "code"]


def calibrate(
    features: Float[np.ndarray, "S N F"],
    labels: Int[np.ndarray, " N"],
    clean: Float[np.ndarray, " N"],
    *,
    threshold: float,
    covariance: Covariance,
    rng: np.random.Generator,
) -> Float[np.ndarray, "S N F"]:
    """Replace a part of each noisy feature by a sample of the Gaussian of its cluster's clean features.

        f ← p f + (1 − p) s,   s ~ N(mean, covariance) of the features of the cluster with p >= threshold

    p is the probability `clean`; noisy is p < threshold. The noisy features of a cluster share one sample in each of
    the S spaces. A cluster with fewer than two clean features, or none that is noisy, and outliers (−1) stay as they
    are. `covariance`: `class` is the sample covariance C; `code` is C Cᵀ + 1, as in the source's code.

    No matrix [F, F] is made: with the centred features X of n samples, X^T z / sqrt(n − 1) has the covariance C.

    Raises:
        ValueError: another covariance.

    Source: Li et al., "Distribution-guided hierarchical calibration contrastive network for unsupervised person
    re-identification", TCSVT 2024.
    Differs from the source: nothing with `code`.
    """
    calibrated = np.array(features)
    for cluster in np.unique(labels[labels >= 0]):
        member = labels == cluster
        noisy, known = (
            np.flatnonzero(member & (clean < threshold)),
            np.flatnonzero(member & (clean >= threshold)),
        )
        if len(known) < 2 or len(noisy) == 0:
            continue
        kept = clean[noisy, None]
        for space, rows in enumerate(features):
            sample = _sample(rows[known], covariance, rng)
            calibrated[space, noisy] = kept * rows[noisy] + (1.0 - kept) * sample
    return calibrated


def _sample(
    rows: Float[np.ndarray, "n F"], covariance: str, rng: np.random.Generator
) -> Float[np.ndarray, " F"]:
    mean = rows.mean(axis=0)
    centred, freedom = rows - mean, len(rows) - 1
    if covariance == "class":
        return mean + centred.T @ rng.normal(size=len(rows)) / np.sqrt(freedom)
    if covariance == "code":
        own, shared = rng.normal(size=(2, rows.shape[1]))
        return mean + own + centred.T @ (centred @ shared) / freedom
    raise ValueError(f"covariance is {covariance!r}; choose class or code")
