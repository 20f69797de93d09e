"""Supervised terms: cross-entropy and batch-hard triplet (Eq. 21, 22)."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from man_jax.array_math import squared_distances
from man_jax.losses.weighted import mean_of

TripletForm = Literal["hinge", "soft"]


def smoothed_cross_entropy(
    logits: Float[Array, "B C"],
    labels: Int[Array, " B"],
    *,
    smoothing: float = 0.1,
    exists: Bool[Array, " C"] | None = None,
) -> Float[Array, " B"]:
    """Compute the cross-entropy with label smoothing, one value a sample (Eq. 22, first line).

        −Σ_c y_c log softmax(logits)_c,   y = (1 − ε) onehot(label) + ε / C

    Classes that do not exist take no part: their probability is 0, and C counts the others. None: all exist. (A mask
    that leaves none out rounds otherwise than no mask.)

    Differs from the paper: it leaves out the minus sign.
    """
    if exists is None:
        log_probability = jax.nn.log_softmax(logits)
        mean = jnp.mean(log_probability, axis=1)
    else:
        log_probability = jax.nn.log_softmax(logits, where=exists)
        mean = jnp.mean(log_probability, axis=1, where=exists)
    own = jnp.take_along_axis(log_probability, labels[:, None], axis=1)[:, 0]
    return -((1.0 - smoothing) * own + smoothing * mean)


def batch_hard_triplet(
    anchors: Float[Array, "B D"],
    labels: Int[Array, " B"],
    *,
    mask: Bool[Array, " B"] | None = None,
    weight: Float[Array, " B"] | None = None,
    form: TripletForm = "hinge",
    margin: float = 0.3,
) -> Float[Array, ""]:
    """Compute the batch-hard triplet loss (Eq. 22, second line): mean over anchors of max(0, d_p − d_n + margin).

    d_p is the Euclidean distance to the farthest other row of the same label, d_n to the nearest row of
    another. `soft` is softplus(d_p − d_n). Rows masked out take no part; anchors without a positive or a
    negative are left out of the mean; without any anchor the loss is 0. `weight` says how much each anchor counts.

    Source: Hermans et al., "In defense of the triplet loss", 2017.
    Differs from the paper: its margin has the letter of the PDA weight, α; here they are two keys.
    """
    mask = jnp.ones(labels.shape[0], bool) if mask is None else mask
    others = mask[None, :] & ~jnp.eye(labels.shape[0], dtype=bool)
    return hardest_triplets(
        anchors,
        labels,
        anchors,
        labels,
        mask=mask,
        weight=weight,
        candidates=others,
        form=form,
        margin=margin,
    )


def hardest_triplets(
    anchors: Float[Array, "B D"],
    labels: Int[Array, " B"],
    rows: Float[Array, "S D"],
    row_labels: Int[Array, " S"],
    *,
    mask: Bool[Array, " B"],
    weight: Float[Array, " B"] | None = None,
    candidates: Bool[Array, "#B S"],
    form: TripletForm,
    margin: float,
) -> Float[Array, ""]:
    """Compute the triplet loss of anchors against any set of rows of which `candidates` may be chosen."""
    # The clamp keeps the gradient of the root finite where an anchor equals a row.
    distance = jnp.sqrt(jnp.maximum(squared_distances(anchors, rows), 1e-12))
    same = labels[:, None] == row_labels[None, :]
    positives, negatives = same & candidates, ~same & candidates
    farthest = jnp.max(distance, axis=1, where=positives, initial=0.0)
    nearest = jnp.min(distance, axis=1, where=negatives, initial=jnp.inf)
    has_both = mask & positives.any(axis=1) & negatives.any(axis=1)
    gap = farthest - jnp.where(has_both, nearest, 0.0)
    if form == "hinge":
        return mean_of(jnp.maximum(0.0, gap + margin), has_both, weight)
    if form == "soft":
        return mean_of(jax.nn.softplus(gap), has_both, weight)
    raise ValueError(f"form is {form!r}; choose hinge or soft")
