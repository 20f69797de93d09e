"""The step as a whole, of any method and of MAN. MAN's losses have tests of their own under methods and losses.

All in double precision: in single, a rounding can turn a ReLU or a maximum, and a gradient with it.
"""

import contextlib
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from man_jax.engine.optimizer import make_optimizer
from man_jax.engine.step import make_step
from man_jax.frame import Batch, Change, TrainState
from man_jax.methods import man
from man_jax.sharding import make_mesh, put_batch, put_replicated
from tests.engine.tiny import (
    NUM_SOURCE,
    NUM_TARGET,
    SPACE,
    B,
    as_arrays,
    assert_same,
    in_double,
    new_batch,
    new_frame,
    new_state,
)

RATE = 0.05
# SGD: Adam divides a gradient by its own size, and would make as much of rounding as of a gradient.
OPTIMIZER = make_optimizer("sgd", lambda _: RATE, weight_decay=1e-4)
CHANGES = {"man.alpha": 1.7, "man.beta": 0.3, "man.memory_weight": 0.6, "man.momentum": 0.9}
AS_THEY_ARE = {"augment.flip": 0.0, "augment.pad": 0, "augment.erase": 0.0}
HALF = np.arange(B) % 2 == 0
"""One of each cluster's two triples is reliable."""


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    with jax.enable_x64(True):
        yield


class Machine:
    """The step of a method on a number of devices; states are copied before they are given away."""

    def __init__(self, method: Any, num_devices: int, **changes):
        self.mesh = make_mesh(jax.devices()[:num_devices])
        self.step = make_step(method, new_frame(**CHANGES | changes), OPTIMIZER, self.mesh)

    def __call__(self, state, *batches: Batch | None):
        """(state, terms) after one step, as NumPy arrays."""
        placed = [put_batch(batch, self.mesh) for batch in batches]
        return as_arrays(self.step(put_replicated(state, self.mesh), *placed))


@pytest.fixture(scope="module")
def machine() -> Machine:
    """MAN on two devices; that eight compute what one does is tested of every method (methods/test_contract.py)."""
    return Machine(man, 2, **AS_THEY_ARE)


@pytest.fixture(scope="module")
def state():
    return in_double(new_state(OPTIMIZER))


@pytest.fixture(scope="module")
def source() -> Batch:
    return new_batch(1, NUM_SOURCE)


@pytest.fixture(scope="module")
def target() -> Batch:
    return new_batch(2, NUM_TARGET, reliable=HALF)


@pytest.fixture(scope="module")
def stepped(machine, state, source, target):
    return machine(state, source, target)


def assert_close(actual, expected, rtol: float = 1e-8, atol: float = 1e-9) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), actual, expected)


# --- what a step is made of, whatever the method


class Line:
    """A method that fits w to a batch's weights, keeps what it was given, and counts updates in its slots."""

    def loss(self, frame, params, state, source, target, key):
        assert source is None
        apart = params["w"] - target.weight
        slots = state.slots | {"key": jax.random.key_data(key), "before": state.params["w"]}
        return (apart**2).mean(), Change(
            {"seen": frame.scale * target.weight.sum()}, slots, {"apart": apart[0]}
        )

    def after_update(self, frame, state):
        return state.replace(slots=state.slots | {"after": frame.scale * state.params["w"]})


def test_a_step_is_the_method_s_loss_the_update_and_what_the_method_does_after_it():
    mesh, optimizer = make_mesh(jax.devices()[:1]), optax.sgd(0.25)
    step = make_step(Line(), SimpleNamespace(scale=10.0), optimizer, mesh)
    params = {"w": jnp.array(3.0)}
    key = jax.random.key(5)
    parts = {"params": params, "opt_state": optimizer.init(params), "statistics": {"seen": jnp.array(0.0)}}
    state = TrainState(step=jnp.int32(7), key=key, slots={"mine": jnp.int32(4)}, **parts)
    target = new_batch(0, NUM_TARGET)  # its weights are ones
    after, terms = step(put_replicated(state, mesh), None, put_batch(target, mesh))
    assert {name: float(term) for name, term in terms.items()} == {"total": 4.0, "apart": 2.0}
    assert (after.step, after.params["w"], after.statistics["seen"]) == (8, 2.0, 10.0 * B)
    assert (after.slots["mine"], after.slots["before"], after.slots["after"]) == (4, 3.0, 20.0)
    np.testing.assert_array_equal(after.slots["key"], jax.random.key_data(jax.random.fold_in(key, 7)))
    np.testing.assert_array_equal(jax.random.key_data(after.key), jax.random.key_data(key))


# --- devices, compilations, purity


@contextlib.contextmanager
def compilations():
    """Grows by one name with every program that XLA is asked for."""
    seen: list[str] = []

    def listen(event: str, duration_secs: float, **details) -> None:
        del duration_secs
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(str(details.get("fun_name", event)))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_the_step_is_compiled_once_whatever_the_clusters_and_however_many(machine, state, stepped):
    del stepped  # the one compilation
    cases = [HALF, np.zeros(B, bool), np.ones(B, bool)]
    batches = [(new_batch(i, NUM_SOURCE), new_batch(i, NUM_TARGET, reliable=r)) for i, r in enumerate(cases)]
    placed = [put_batch(pair, machine.mesh) for pair in batches]
    state = put_replicated(state, machine.mesh)
    masks = [put_replicated(SPACE.exists(number), machine.mesh) for number in (6, 4, 5)]
    with compilations() as programs:
        for pair, exists in zip(placed, masks, strict=True):
            state, _ = machine.step(state.replace(slots=state.slots._replace(exists=exists)), *pair)
    assert programs == []


def test_a_compilation_is_noticed():
    with compilations() as programs:
        jax.jit(lambda x: x * 3.25)(np.ones(7, np.float32))
    assert programs


def test_the_same_inputs_give_the_same_bits(machine, state, source, target, stepped):
    assert_same(machine(state, source, target), stepped)


def test_a_state_keeps_its_structure_shapes_and_types(state, stepped):
    before, after = as_arrays(state), stepped[0]
    describe = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree) for tree in (before, after)]
    assert describe[0] == describe[1]


# --- learning


def test_a_step_lowers_the_loss_of_its_batch(machine, state, stepped, source, target):
    after, terms = stepped
    moved = state.replace(params=after.params, opt_state=after.opt_state)
    assert machine(moved, source, target)[1]["total"] < terms["total"]


def test_each_domain_is_normalised_by_its_own_batch(machine, state, source, target, stepped):
    other = new_batch(7, NUM_TARGET, reliable=HALF)
    _, terms = machine(state, source, target.replace(images=other.images))
    for name in ("identity_source", "triplet_source"):
        assert terms[name] == stepped[1][name]
    assert terms["identity_target"] != stepped[1]["identity_target"]


def test_the_column_of_a_class_that_does_not_exist_learns_nothing(machine, state, source, target):
    others = target.replace(labels=target.labels % (NUM_TARGET - 1))
    fewer = state.replace(slots=state.slots._replace(exists=SPACE.exists(NUM_TARGET - 1)))
    learnt, left = (machine(each, source, others) for each in (state, fewer))
    for name in ("modal", "fused"):
        before, after, stays = (
            np.asarray(each.params["heads"][name]["kernel"])[..., -1] for each in (state, learnt[0], left[0])
        )
        decayed = before * (1 - RATE * 1e-4)
        assert_close(stays, decayed)
        assert np.abs(after - decayed).max() > 1e-7
    for term in ("identity_source", "identity_target"):
        assert left[1][term] < learnt[1][term]


def test_labels_that_are_not_reliable_have_no_influence(machine, state, source, target, stepped):
    wrong = np.where(HALF, target.label, (target.label + 1) % NUM_TARGET).astype(np.int32)
    assert_same(machine(state, source, target.replace(labels=wrong[:, None])), stepped)


def test_of_a_batch_man_learns_from_images_labels_and_weights_alone(machine, state, source, target, stepped):
    other = new_batch(8, NUM_TARGET)
    assert_same(machine(state, source, target.replace(index=other.index, camera=other.camera)), stepped)


def test_without_a_reliable_label_or_a_valid_cluster_everything_stays_finite(machine, state, source, target):
    banks = state.slots.banks
    nothing = jax.tree.map(np.zeros_like, as_arrays(banks.target))
    empty = state.replace(slots=state.slots._replace(banks=banks._replace(target=nothing)))
    result = machine(empty, source, target.replace(weight=np.zeros(B, np.float32)))
    for path, leaf in jax.tree_util.tree_leaves_with_path(result):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)
