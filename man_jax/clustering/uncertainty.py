"""Say how uncertain pseudo-labels are, and select the least uncertain ones (NumPy, on the host).

Source: Han et al., "Delving into probabilistic uncertainty for unsupervised domain adaptive person
re-identification", AAAI 2022.
"""

import math

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import log_softmax, xlogy


def label_uncertainty(
    features: Float[np.ndarray, "N D"],
    centres: Float[np.ndarray, "K D"],
    labels: Int[np.ndarray, " N"],
    *,
    scale: float = 20.0,
    peak: float = 0.99,
) -> Float[np.ndarray, " N"]:
    """Measure how far what a sample is like is from an ideal answer, in nats.

        u = Σ_k q_k log(q_k / p_k),   p = softmax(scale f·c_k),   q_y = peak,   other q_k = (1 − peak) / (K − 1)

    Features and centres are unit vectors, and y is the sample's label, 0 ≤ y < K. With one cluster u is that of
    its own q alone.

    Differs from the source: nothing. (Its paper writes the distance between P and Q; its code has this order.)
    """
    num_clusters = len(centres)
    log_p = log_softmax(scale * (features.astype(np.float64) @ centres.astype(np.float64).T), axis=1)
    rest = (1.0 - peak) / max(num_clusters - 1, 1)
    own = np.take_along_axis(log_p, labels[:, None], axis=1)[:, 0]
    entropy = xlogy(peak, peak) + (num_clusters - 1) * xlogy(rest, rest)
    return entropy - peak * own - rest * (log_p.sum(axis=1) - own)


def selected_share(progress: float, *, first: float, bend: float) -> float:
    """Compute the share of the samples that an epoch selects; it grows from `first` to 1.

        p = p0 + log(1 + progress (e^{h (1 − p0)} − 1)) / h,   p0 = first,   h = bend > 0,   0 ≤ progress ≤ 1

    A larger h makes the share grow faster at first.

    Differs from the source: nothing.
    """
    return first + math.log1p(progress * math.expm1(bend * (1.0 - first))) / bend


def least_uncertain(uncertainty: Float[np.ndarray, " N"], *, share: float) -> Bool[np.ndarray, " N"]:
    """Mark the share of the samples that are least uncertain, and those as uncertain as the last of them.

    Differs from the source: at least one sample is selected; a share of no sample selects all in its code. A share
    that only rounding keeps from a whole number of samples is that number.
    """
    number = max(1, math.floor(share * len(uncertainty) + 1e-6))
    return uncertainty <= np.sort(uncertainty)[min(number, len(uncertainty)) - 1]
