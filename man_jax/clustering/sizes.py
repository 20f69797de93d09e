"""Limit the number of clusters by their sizes."""

import numpy as np
from absl import logging
from jaxtyping import Int32

OUTLIER = -1
"""The label of a sample in no cluster."""


def keep_largest(labels: Int32[np.ndarray, " N"], *, most: int) -> Int32[np.ndarray, " N"]:
    """Keep the `most` largest clusters, in their order, numbered from 0; members of the others become outliers, −1.

    Of clusters of equal size the one with the smaller number is kept. The log says what is left out.
    """
    sizes = np.bincount(labels[labels >= 0])
    if len(sizes) <= most:
        return labels
    kept = np.sort(np.argsort(-sizes, kind="stable")[:most])
    logging.warning(
        "%d clusters, and there is room for %d: the smallest %d, of %d triples, are left out",
        *(len(sizes), most, len(sizes) - most, int(sizes.sum() - sizes[kept].sum())),
    )
    renamed = np.full(len(sizes) + 1, OUTLIER, np.int32)  # the last is that of outliers
    renamed[kept] = np.arange(most)
    return renamed[labels]
