"""Draw a part of the target, and weigh its samples by how much they are like samples of other clusters.

Source: Tang et al., "Doubly stochastic subdomain mining with sample reweighting for unsupervised domain adaptive person
re-identification", AI Communications 2024.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray

BLOCK = 1024
"""How many samples are compared with all others at once."""


def draw_subdomain(
    key: PRNGKeyArray, num_samples: int, *, mean: float, deviation: float, least: float, largest: float
) -> Bool[np.ndarray, " N"]:
    """Draw a rate, and that part of the samples without replacement; mark those that are drawn.

        rate ~ Normal(mean, deviation), given least < rate < largest;   floor(rate N) samples, all as likely

    Differs from the source: nothing; it draws the rate again and again until it is within the limits, which is the
    same distribution.
    """
    of_rate, of_samples = jax.random.split(key)
    lower, upper = (least - mean) / deviation, (largest - mean) / deviation
    rate = mean + deviation * float(jax.random.truncated_normal(of_rate, lower, upper, dtype=jnp.float32))
    number = int(num_samples * min(max(rate, least), largest))
    drawn = np.zeros(num_samples, bool)
    drawn[np.asarray(jax.random.permutation(of_samples, num_samples))[:number]] = True
    return drawn


def similarity_weights(
    features: Float[np.ndarray, "N D"], labels: Int[np.ndarray, " N"], *, temperature: float = 0.3
) -> Float[np.ndarray, " N"]:
    """Compute the weight of each sample from its largest similarity to a sample of another cluster.

        w = N softmax(−s / τ),   s_i = max f_i·f_j over j of another cluster

    Features are unit vectors. A sample of label −1 is in no cluster: its weight is 0 and nobody is compared with it,
    but N counts it. With one cluster alone all its samples weigh the same.

    Differs from the source: it sets s of samples in no cluster to 100, so that their weight is 0 by rounding; with one
    cluster alone it has no answer.
    """
    inside = np.flatnonzero(labels >= 0)
    weights = np.zeros(len(labels))
    if not len(inside):
        return weights
    rows, own = features[inside].astype(np.float64), labels[inside]
    largest = np.concatenate(
        [
            np.max(
                rows[first : first + BLOCK] @ rows.T,
                axis=1,
                where=own[first : first + BLOCK, None] != own[None, :],
                initial=-1.0,
            )
            for first in range(0, len(inside), BLOCK)
        ]
    )
    shares = np.exp((largest.min() - largest) / temperature)
    weights[inside] = len(labels) * shares / shares.sum()
    return weights
