"""Fill a memory of classes with one random sample of each.

Source: Yin et al., "A real-time memory updating strategy for unsupervised person re-identification", TIP 2023.
"""

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray


def random_instances(
    key: PRNGKeyArray, features: Float[np.ndarray, "N D"], labels: Int[np.ndarray, " N"], *, num_classes: int
) -> tuple[Float[np.ndarray, "C D"], Bool[np.ndarray, " C"]]:
    """Choose a random sample of each class: its features, and which classes have one.

    All samples of a class are as likely. Rows whose label is no class (an outlier's −1, say) take no part; a class
    without rows does not exist and its features are zero.

    Differs from the source: nothing.
    """
    order = np.asarray(jax.random.permutation(key, len(labels)))
    order = order[(labels[order] >= 0) & (labels[order] < num_classes)]
    classes, first = np.unique(labels[order], return_index=True)
    values, exists = np.zeros((num_classes, features.shape[1]), features.dtype), np.zeros(num_classes, bool)
    values[classes], exists[classes] = features[order[first]], True
    return values, exists
