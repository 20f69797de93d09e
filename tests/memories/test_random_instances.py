import jax
import numpy as np

from man_jax.memories.random_instances import random_instances

FEATURES = np.arange(14.0).reshape(7, 2)
LABELS = np.array([0, 0, 0, 2, -1, 2, 5])


def test_every_class_has_one_of_its_own_samples_and_every_sample_its_turn():
    seen = {0: set(), 2: set()}
    for seed in range(40):
        values, exists = random_instances(jax.random.key(seed), FEATURES, LABELS, num_classes=4)
        np.testing.assert_array_equal(exists, [True, False, True, False])
        np.testing.assert_array_equal(values[[1, 3]], 0)
        for label, found in seen.items():
            found.add(int(values[label, 0]) // 2)
    assert seen == {0: {0, 1, 2}, 2: {3, 5}}


def test_the_same_key_chooses_the_same_samples():
    first, again = (random_instances(jax.random.key(1), FEATURES, LABELS, num_classes=4)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
