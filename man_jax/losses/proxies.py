"""Contrast features with the proxies that are associated with them, offline by clusters or online by similarity.

Source: Wang et al., "Offline-online associated camera-aware proxies for unsupervised person re-identification",
TIP 2022.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def contrast_associated(
    similarities: Float[Array, "B P"],
    positives: Bool[Array, "B P"],
    *,
    exists: Bool[Array, " P"],
    order: Float[Array, "B P"],
    temperature: float,
    num_negatives: int,
) -> Float[Array, " B"]:
    """Compare each row with its positives and its hardest negatives; one value for each row.

        −1/|A| Σ_{a∈A} log exp(s_a / τ) / Σ_{k∈A∪N} exp(s_k / τ)

    A are the row's positives, and N the `num_negatives` other proxies of the largest `order`. Fewer others than that
    are all taken. Proxies that do not exist take no part; a row without positives has the value 0. No gradient goes
    to `order`.

    Differs from the source: proxies may be missing.
    """
    others = exists[None, :] & ~positives
    ranked = jnp.where(others, jax.lax.stop_gradient(order), -jnp.inf)
    values, places = jax.lax.top_k(ranked, min(num_negatives, ranked.shape[1]))
    rows = jnp.arange(ranked.shape[0])[:, None]
    negatives = jnp.zeros_like(positives).at[rows, places].set(values > -jnp.inf)
    among = positives | negatives
    among = among | ~among.any(axis=1, keepdims=True)  # a softmax over no proxy is NaN
    log_probability = jax.nn.log_softmax(similarities / temperature, where=among)
    total = jnp.sum(jnp.where(positives, log_probability, 0.0), axis=1)
    return -total / jnp.maximum(positives.sum(axis=1), 1)


def nearest_in_cameras(
    order: Float[Array, "B P"],
    cameras: Int[Array, " P"],
    *,
    exists: Bool[Array, " P"],
    num_cameras: int,
    num_positives: int,
) -> Bool[Array, "B P"]:
    """Find in each row the proxies of the online association: the best one of each camera, and the best of these.

    Of each camera the proxy of the largest `order` is taken, the first of equal ones, and of these the
    `num_positives` largest, or as many as there are cameras with proxies.

    Differs from the source: with fewer cameras than `num_positives`, its code also takes the nearest other proxies of
    any camera as positives.
    """
    num_proxies = order.shape[1]
    known = exists & (cameras >= 0)
    ranked = jnp.where(known[None, :], jax.lax.stop_gradient(order), -jnp.inf).T
    best = jax.ops.segment_max(ranked, cameras, num_segments=num_cameras)
    is_best = known[:, None] & (ranked == best[cameras])
    places = jnp.where(is_best, jnp.arange(num_proxies)[:, None], num_proxies)
    first = jax.ops.segment_min(places, cameras, num_segments=num_cameras)
    values, chosen = jax.lax.top_k(best.T, min(num_positives, num_cameras))
    found = jnp.take_along_axis(first.T, chosen, axis=1)
    found = jnp.where(values > -jnp.inf, found, num_proxies)  # beyond the last: marks nothing
    rows = jnp.arange(order.shape[0])[:, None]
    return jnp.zeros(order.shape, bool).at[rows, found].set(True, mode="drop")


def sum_of_camera_means(
    values: Float[Array, " B"], cameras: Int[Array, " B"], weight: Float[Array, " B"]
) -> Float[Array, ""]:
    """Average the values of each camera's rows by their weights, and sum over the cameras of the batch.

        Σ_c Σ_{i in c} w_i v_i / Σ_{i in c} w_i

    So a camera with few rows counts as much as one with many. Rows of weight 0 take no part and may be infinite.
    """
    same = cameras[:, None] == cameras[None, :]
    of_camera = jnp.sum(jnp.where(same, weight[None, :], 0.0), axis=1)
    share = jnp.where(of_camera > 0, weight / jnp.where(of_camera > 0, of_camera, 1.0), 0.0)
    return jnp.sum(share * jnp.where(weight > 0, values, 0.0))
