"""Remove what a camera adds to all of its features, before they are clustered."""

import numpy as np
from jaxtyping import Float, Int

LEAST_SAMPLES = 16
"""A camera of fewer samples has no statistics of its own worth the name; it gets those of all samples."""
LEAST_DEVIATION = 0.1
"""Of a dimension, as a share of the mean deviation of all dimensions; a smaller one would magnify rounding."""


def standardise_by_camera(
    modal: Float[np.ndarray, "M N D"], cameras: Int[np.ndarray, " N"]
) -> tuple[Float[np.ndarray, "M N D"], Float[np.ndarray, "N F"]]:
    """Remove each camera's mean and scale from its features, and make them unit again: of each modality, and fused.

        x ← Unit((x − mean_c) / std_c),   mean and std over the samples of x's camera c
        F = Unit(Cat(x_R, x_N, x_T))

    Samples of one camera resemble each other for reasons of the camera: its view, its background, its colours. Without
    these, samples of one identity from several cameras come together.

    Source: Zhuang et al., "Rethinking the distribution gap of person re-identification with camera-based batch
    normalization", ECCV 2020.
    Differs from the source: it normalises the maps of every layer, in training and at test; here only the features
    that are clustered are standardised, and the network stays as it is.
    """
    rows = np.array(modal, np.float32)
    standardised = np.empty_like(rows)
    for camera in np.unique(cameras):
        group = cameras == camera
        basis = rows[:, group] if group.sum() >= LEAST_SAMPLES else rows
        deviation = basis.std(axis=1, keepdims=True)
        floor = LEAST_DEVIATION * deviation.mean(axis=-1, keepdims=True)
        shifted = rows[:, group] - basis.mean(axis=1, keepdims=True)
        standardised[:, group] = shifted / np.maximum(np.maximum(deviation, floor), 1e-12)
    standardised = _unit(standardised)
    fused = _unit(np.moveaxis(standardised, 0, 1).reshape(rows.shape[1], -1))
    return standardised, fused


def _unit(rows: Float[np.ndarray, "... D"]) -> Float[np.ndarray, "... D"]:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
