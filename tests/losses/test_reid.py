from typing import NamedTuple

import jax
import numpy as np
import pytest

from man_jax.losses.reid import reid_loss
from man_jax.networks.three_branch import Features, Outputs
from tests.oracles import reid as oracle
from tests.oracles.geometry import central_differences
from tests.oracles.precision import SINGLE, assert_close, assert_slope, evaluate, gradient

M, B, D, C = 3, 5, 3, 4
LABELS = np.array([0, 0, 1, 1, 2])


class Reading(NamedTuple):
    """The keys of `config.loss`."""

    smoothing: float = 0.1
    triplet_form: str = "hinge"
    triplet_margin: float = 0.3
    triplet_fused: str = "normed"


READINGS = {
    "default": Reading(),
    "soft": Reading(smoothing=0.3, triplet_form="soft"),
    "pooled": Reading(smoothing=0.0, triplet_margin=0.9, triplet_fused="pooled"),
}
every_reading = pytest.mark.parametrize("reading", READINGS)
ALL = {"mask": np.ones(B, bool), "exists": np.ones(C, bool)}
SOME = {"mask": np.array([True, True, True, False, True]), "exists": np.arange(C) < 3}


def drawn(seed: int) -> Outputs:
    rng = np.random.default_rng(seed)
    pooled, normed = rng.normal(size=(2, M, B, D))
    return Outputs(Features(pooled, normed), rng.normal(size=(B, M * D)), 3 * rng.normal(size=(M + 1, B, C)))


def both(outputs: Outputs, *, reading: str, mask=None, exists=None):
    return reid_loss(outputs, LABELS, mask=mask, exists=exists, **READINGS[reading]._asdict())


def formula(outputs: Outputs, *, reading: str, mask, exists) -> tuple[float, float]:
    features = outputs.features
    parts = (features.pooled, features.normed, outputs.fused_normed, outputs.logits, LABELS, mask)
    return oracle.reid(oracle.Batch(*parts), READINGS[reading], exists)


@every_reading
@pytest.mark.parametrize("taken", [ALL, SOME], ids=["all", "some"])
def test_both_parts_are_summed_over_the_modalities_and_the_fusion(reading, taken):
    outputs = drawn(0)
    actual = evaluate(both, outputs, reading=reading, **taken)
    assert_close(actual, formula(outputs, reading=reading, **taken))


@every_reading
@pytest.mark.parametrize("taken", [ALL, SOME], ids=["all", "some"])
def test_each_output_has_the_slope_of_the_formula(reading, taken):
    outputs = drawn(1)
    slope = gradient(both, outputs, reading=reading, **taken)

    def of(pooled=None, fused_normed=None, logits=None):
        features = outputs.features if pooled is None else outputs.features._replace(pooled=pooled)
        fused_normed = outputs.fused_normed if fused_normed is None else fused_normed
        logits = outputs.logits if logits is None else logits
        return sum(formula(Outputs(features, fused_normed, logits), reading=reading, **taken))

    pooled = central_differences(lambda rows: of(pooled=rows), outputs.features.pooled)
    assert_slope(slope.features.pooled, pooled)
    fused = central_differences(lambda rows: of(fused_normed=rows), outputs.fused_normed)
    assert_slope(slope.fused_normed, fused)
    assert_slope(slope.logits, central_differences(lambda rows: of(logits=rows), outputs.logits))
    np.testing.assert_array_equal(slope.features.normed, 0)


@every_reading
def test_without_masks_every_row_is_learnt_and_every_class_exists(reading):
    outputs = drawn(2)
    plain, masked = evaluate(both, outputs, reading=reading), evaluate(both, outputs, reading=reading, **ALL)
    np.testing.assert_array_equal(plain, masked)


@every_reading
def test_without_a_row_to_learn_from_both_are_zero_and_have_no_slope(reading):
    outputs, nobody = drawn(3), {"mask": np.zeros(B, bool), "precision": SINGLE}
    assert evaluate(both, outputs, reading=reading, **nobody) == (0, 0)
    for leaf in jax.tree.leaves(gradient(both, outputs, reading=reading, **nobody)):
        np.testing.assert_array_equal(leaf, 0)
