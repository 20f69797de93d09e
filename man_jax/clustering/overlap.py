"""Keep the samples on whose clusters two feature spaces agree (NumPy, on the host)."""

import numpy as np
from jaxtyping import Int, Int32

from man_jax.clustering.matching import contingency_table
from man_jax.clustering.sizes import OUTLIER


def keep_overlapping(
    labels: Int[np.ndarray, " N"], reference: Int[np.ndarray, " N"], *, share: float = 0.4
) -> Int32[np.ndarray, " N"]:
    """Keep the label of each sample whose cluster has more than a share of its members in one reference cluster.

        n(c, r)  = |samples of cluster c and of reference cluster r|
        kept(i)  = n(c_i, r_i) > share * sum_r n(c_i, r)

    Samples of the reference's cluster −1 (outliers) do not count and are not kept; the others become −1.

    Raises:
        ValueError: there are not as many reference labels as labels.

    Source: He et al., "SECRET: self-consistent pseudo label refinement for unsupervised domain adaptive person
    re-identification", AAAI 2022.
    Differs from the source: the numbers of the clusters stay, so that a cluster without a sample that is kept leaves a
    gap.
    """
    if labels.shape != reference.shape:
        raise ValueError(
            f"labels are {labels.shape} and the reference {reference.shape}; give both of all samples"
        )
    counts = (labels >= 0) & (reference >= 0)
    if not counts.any():
        return np.full(len(labels), OUTLIER, np.int32)
    table = contingency_table(labels, reference, num_one=labels.max() + 1, num_other=reference.max() + 1)
    agree = table > share * table.sum(axis=1, keepdims=True)
    # An index of −1 is the last cluster, which `counts` leaves out.
    return np.where(counts & agree[labels, reference], labels, OUTLIER).astype(np.int32)
