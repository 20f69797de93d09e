"""Losses of a student against the soft answers of a teacher.

Source: Ge et al., "Mutual mean-teaching: pseudo label refinery for unsupervised domain adaptation on person
re-identification", ICLR 2020.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from man_jax.losses.hardest import find_hardest, pair_distances
from man_jax.losses.weighted import weighted_mean


def soft_cross_entropy(
    student: Float[Array, "B C"],
    teacher: Float[Array, "B C"],
    *,
    exists: Bool[Array, " C"] | None = None,
    weight: Float[Array, " B"] | None = None,
) -> Float[Array, ""]:
    """Compare the student's logits with the teacher's softmax, weighted mean over the batch.

        −Σ_c softmax(teacher)_c log softmax(student)_c,   c over the classes that exist

    The teacher is constant. Rows of weight 0 take no part; without any other row, or without a class, the loss is 0.

    Differs from the source: classes may be missing and rows may have weights.
    """
    exists = jnp.ones(student.shape[1], bool) if exists is None else exists
    weight = jnp.ones(student.shape[0], student.dtype) if weight is None else weight
    among = (exists | ~exists.any())[None, :]  # a softmax over no class is NaN
    target = jax.nn.softmax(jax.lax.stop_gradient(teacher), where=among)
    log_probability = jax.nn.log_softmax(student, where=among)
    # A product alone would be NaN for a class that does not exist: 0 · −∞.
    loss = -jnp.sum(target * jnp.where(exists[None, :], log_probability, 0.0), axis=1)
    return weighted_mean(loss, weight)


def softmax_triplet(
    features: Float[Array, "B D"],
    labels: Int[Array, " B"],
    *,
    weight: Float[Array, " B"] | None = None,
    margin: float = 0.0,
) -> Float[Array, ""]:
    """Push the hardest negative farther away than the hardest positive, weighted mean over the anchors.

        −m log p − (1 − m) log(1 − p),   p = exp(d_p) / (exp(d_p) + exp(d_n)),   m the margin, 0 ≤ m ≤ 1

    d_p is the Euclidean distance to the farthest other row of the same label, d_n to the nearest row of another.
    Rows of weight 0 or with a label below 0 take no part; anchors without a positive or a negative are left out of
    the mean; without any anchor the loss is 0.

    With the margin 0 and equal weights it is the soft form of losses/identity.py's batch_hard_triplet.

    Differs from the source: there an anchor is its own positive where it has no other, and an anchor without a
    negative counts.
    """
    triplets = find_hardest(features, labels, weight)
    target = jnp.array([margin, 1.0 - margin], features.dtype)
    return weighted_mean(_cross_entropy(triplets.distances, target[None, :]), triplets.weight)


def soft_triplet(
    student: Float[Array, "B D"],
    teacher: Float[Array, "B E"],
    labels: Int[Array, " B"],
    *,
    weight: Float[Array, " B"] | None = None,
) -> Float[Array, ""]:
    """Compare the student's triplets with the teacher's, weighted mean over the anchors.

        −Σ softmax(d'_p, d'_n) · log softmax(d_p, d_n)

    p and n are the hardest positive and negative of each anchor by the student's Euclidean distances d; d' are the
    teacher's distances to the same rows. The teacher is constant. Who takes part: as in softmax_triplet.

    Differs from the source: as softmax_triplet.
    """
    triplets = find_hardest(student, labels, weight)
    distances = pair_distances(jax.lax.stop_gradient(teacher))
    reference = jnp.take_along_axis(distances, triplets.rows, axis=1)
    return weighted_mean(_cross_entropy(triplets.distances, jax.nn.softmax(reference)), triplets.weight)


def _cross_entropy(distances: Float[Array, "B 2"], target: Float[Array, "#B 2"]) -> Float[Array, " B"]:
    return -jnp.sum(target * jax.nn.log_softmax(distances), axis=1)
