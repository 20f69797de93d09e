import jax
import numpy as np
import optax
import pytest

from man_jax.engine import pretraining
from man_jax.frame import TRAINED
from tests.engine.tiny import (
    MODEL,
    NUM_SOURCE,
    QUICKLY,
    as_arrays,
    assert_same,
    in_double,
    new_batch,
    new_frame,
    new_state,
)
from tests.oracles import reid as oracle

CHANGES = {
    "loss.smoothing": 0.3,
    "loss.triplet_form": "soft",
    "loss.triplet_fused": "pooled",
    "augment.pad": 2,
}


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def frame():
    return new_frame(**CHANGES)


@pytest.fixture(scope="module")
def state():
    return in_double(new_state(optax.identity()))


@pytest.fixture(scope="module")
def source():
    return new_batch(1, NUM_SOURCE)


@pytest.fixture(scope="module")
def loss(frame):
    """The loss as a function of (state, source, key)."""

    def loss(state, source, key):
        return pretraining.loss(frame, state.params, state, source, None, key)

    run = jax.jit(loss, compiler_options=QUICKLY)
    return lambda *arguments: as_arrays(run(*arguments))


@pytest.fixture(scope="module")
def passed(loss, state, source):
    return loss(state, source, state.key)


def test_it_is_l_reid_of_the_source_by_the_keys_of_the_loss(frame, state, source, passed):
    def run(state, images, key):
        view = frame.view(jax.random.split(key, 2)[0], images)
        return MODEL(TRAINED.variables(state, "source"), view, train=True)[0]

    features, fused_normed, logits = as_arrays(
        jax.jit(run, compiler_options=QUICKLY)(state, source.images, state.key)
    )
    batch = oracle.Batch(*features, fused_normed, logits, source.label, source.reliable)
    identity, triplet = oracle.reid(batch, frame.config.loss)
    value, change = passed
    assert set(change.terms) == {"identity_source", "triplet_source"}
    assert change.terms["identity_source"] == pytest.approx(identity, rel=1e-6)
    assert change.terms["triplet_source"] == pytest.approx(triplet, rel=1e-6)
    assert value == pytest.approx(identity + triplet, rel=1e-6)


def test_the_running_statistics_of_both_domains_move_alike(state, passed):
    after, before = passed[1].statistics, as_arrays(state.statistics)
    assert_same(after.target, after.source)
    means = [statistics.target["branches"]["neck"]["mean"] for statistics in (before, after)]
    assert not np.array_equal(*means)


def test_what_a_method_keeps_stays(state, passed):
    assert_same(passed[1].slots, state.slots)


def test_another_key_augments_otherwise(loss, state, source, passed):
    assert loss(state, source, jax.random.key(99))[0] != passed[0]


def test_nothing_follows_the_update(frame, state):
    assert pretraining.after_update(frame, state) is state
