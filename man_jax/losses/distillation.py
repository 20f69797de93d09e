"""Keep the features of a student near those of a teacher that does not move."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from man_jax.losses.weighted import weighted_mean


def feature_distillation(
    student: Float[Array, "B D"], teacher: Float[Array, "B D"], *, weight: Float[Array, " B"] | None = None
) -> Float[Array, ""]:
    """Compute the squared distance of the student's features to the teacher's, weighted mean over the batch.

        |f − f'|^2 = sum_d (f_d − f'_d)^2

    The teacher is constant. Rows of weight 0 take no part; without any other row the loss is 0.

    Source: Lan et al., "Learning to purification for unsupervised person re-identification", TIP 2023; its code takes
    the sum over the features and the mean over the batch.
    Differs from the source: rows may have weights.
    """
    weight = jnp.ones(student.shape[0], student.dtype) if weight is None else weight
    apart = jnp.sum((student - jax.lax.stop_gradient(teacher)) ** 2, axis=1)
    return weighted_mean(apart, weight)
