"""What every method keeps, from its keys to the network that is tested; a new file in methods/ is tested at once."""

import ast
import inspect
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax import methods
from man_jax.config import ConfigError, check_config
from man_jax.engine.augment import normalize
from man_jax.engine.build import build_normalization
from man_jax.engine.labelling import check_labels, known_labels
from man_jax.engine.optimizer import make_optimizer
from man_jax.engine.state import begin_phase, create_state
from man_jax.engine.step import make_step
from man_jax.frame import Batch, EpochFeatures, FeatureTable, Frame, Labels, Network, TrainState
from man_jax.method_parts import cluster_rows
from man_jax.methods import man
from man_jax.networks.three_branch import Branch
from man_jax.runs.checkpoint import open_checkpoints, restore_state, save_state
from man_jax.sharding import make_mesh, put_batch, put_replicated
from tests.engine.small_backbone import SmallBackbone
from tests.engine.tiny import (
    NUM_CAMERAS,
    NUM_SOURCE,
    NUM_TARGET,
    NUM_TRIPLES,
    SPACE,
    D,
    M,
    as_arrays,
    assert_same,
    created,
    in_double,
    new_batch,
    new_frame,
)
from tests.oracles.cases import unit_normal

FUNCTIONS = ("networks", "capacity", "start", "label", "begin_epoch", "loss", "after_update", "weights")
SMALL = {
    "cluster_contrast.k1": 4,
    "cluster_contrast.k2": 2,
    "cluster_contrast.eps": 0.6,
    "p2lr.first_share": 1.0,
    "dssm.mean_rate": 1.0,
    "dssm.least_rate": 0.9,
    "dssm.largest_rate": 1.0,
}
"""Keys with which four triples of an identity can be a cluster, and few are left out."""
SPREAD = ("man", "cluster_contrast", "dhccn", "idm", "mmt")
"""Methods whose step runs on eight devices and on one: with banks, a memory, parts, mixed maps, teachers. The engine
splits the batches of all methods alike, and a program for eight devices takes twice as long to compile."""
# SGD: Adam makes as much of rounding as of a gradient.
OPTIMIZER = make_optimizer("sgd", lambda _: 0.05, weight_decay=1e-4)
HALF = np.arange(8) % 2 == 0


def small_frame(**changes: Any) -> Frame:
    """A frame whose network and views compile in seconds; tests/test_train.py has whole ones."""
    frame = new_frame(**SMALL, **changes)
    normalization = build_normalization(frame.config)

    def view(key, images):
        return normalize(images, normalization) + 0.1 * jax.random.normal(key, images.shape)

    return frame._replace(model=replace(frame.model, branch=Branch(SmallBackbone(D))), view=view)


def tables(seed: int, num_classes: int, networks: tuple[Network, ...]) -> tuple[FeatureTable, ...]:
    """Features in which each class is a cluster, with the parts that each network asks for."""
    rng = np.random.default_rng(seed)
    centres = unit_normal(rng, M, num_classes, D)[:, np.arange(NUM_TRIPLES) % num_classes]
    found = []
    for network in networks:
        modal = centres + 0.05 * rng.normal(size=centres.shape)
        modal /= np.linalg.norm(modal, axis=-1, keepdims=True)
        fused = np.moveaxis(modal, 0, 1).reshape(NUM_TRIPLES, -1) / np.sqrt(M)
        parts = [np.stack([3.0 * modal] * network.num_parts)] if network.num_parts else []
        found.append(FeatureTable(*(each.astype(np.float32) for each in (modal, fused, modal, *parts))))
    return tuple(found)


def fewer(labels: Labels) -> Labels:
    """The labels of an epoch with a cluster less: its triples are in none."""
    last = labels.labels[:, 0] == labels.num_clusters - 1
    return labels._replace(
        labels=np.where(last[:, None], -1, labels.labels).astype(np.int32),
        weight=np.where(last, 0, labels.weight).astype(np.float32),
        num_clusters=labels.num_clusters - 1,
    )


def begin(name: str, frame: Frame, *, fewer_clusters: bool = False) -> SimpleNamespace:
    """A state with which the first step of an epoch begins, and all that led to it."""
    method = methods.find(name)
    state = created(frame, OPTIMIZER)
    state = begin_phase(method.start(frame, state), OPTIMIZER)
    networks = method.networks(frame.config)
    found = EpochFeatures(
        None if frame.config.adapt.protocol == "us" else tables(1, NUM_SOURCE, networks),
        tables(2, NUM_TARGET, networks),
    )
    cameras = (np.arange(NUM_TRIPLES) % NUM_CAMERAS).astype(np.int32)
    target = method.label(frame, state, found.target, cameras, 0)
    given = fewer(target) if fewer_clusters else target
    source = known_labels((np.arange(NUM_TRIPLES) % NUM_SOURCE).astype(np.int32))
    before, state = state, method.begin_epoch(frame, state, found, man.ByDomain(source, given))
    return SimpleNamespace(
        method=method, frame=frame, before=before, state=in_double(state), labels=target, features=found
    )


def run(step, state: TrainState, *batches: Batch | None, mesh) -> tuple[TrainState, dict]:
    return step(state, *(batch and put_batch(batch, mesh) for batch in batches))


def batches(frame: Frame) -> tuple[Batch | None, Batch]:
    source = None if frame.config.adapt.protocol == "us" else new_batch(1, NUM_SOURCE)
    return source, new_batch(2, NUM_TARGET - 1, reliable=HALF)


@pytest.fixture(scope="module", params=methods.names())
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module", autouse=True)
def double_precision():
    """Eight devices add in another order than one: in double precision that is seen to be all."""
    with jax.enable_x64(True):
        yield


def stepped(method, frame: Frame, state: TrainState, num_devices: int) -> SimpleNamespace:
    """The step on so many devices, and what its first run gave."""
    mesh = make_mesh(jax.devices()[:num_devices])
    step = make_step(method, frame, OPTIMIZER, mesh)
    first = run(step, put_replicated(state, mesh), *batches(frame), mesh=mesh)
    return SimpleNamespace(mesh=mesh, step=step, first=jax.tree.map(lambda leaf: leaf.copy(), first))


@pytest.fixture(scope="module")
def begun(name) -> SimpleNamespace:
    """An epoch that has begun, and a step of it; `traced` grows whenever the step is traced."""
    traced = []
    frame = small_frame(method=name)
    view = frame.view
    frame = frame._replace(view=lambda key, images: (traced.append(key), view(key, images))[1])
    begun = begin(name, frame)
    begun.traced = traced
    vars(begun).update(vars(stepped(begun.method, frame, begun.state, 8 if name in SPREAD else 1)))
    return begun


# --- the file


def test_a_method_s_file_has_the_functions_that_the_engine_calls(name):
    method = methods.find(name)
    for function in FUNCTIONS:
        assert list(inspect.signature(getattr(method, function)).parameters) == list(
            inspect.signature(getattr(man, function)).parameters
        )


def test_every_key_of_a_method_is_read_in_its_file_or_by_the_clustering_that_it_shares(name):
    text = Path(methods.find(name).__file__ or "").read_text(encoding="utf-8")
    if "cluster_rows(" in text:
        text += Path(cluster_rows.__file__).read_text(encoding="utf-8")
    read = {node.attr for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)}
    assert [key for key in methods.keys_of(name) if key not in read] == []


def test_every_key_of_a_method_says_what_it_is(name):
    assert [key for key, known in methods.keys_of(name).items() if len(known.about.split()) < 2] == []
    assert all(known.default in known.choices for known in methods.keys_of(name).values() if known.choices)


# --- an epoch's beginning


def test_labels_fit_the_capacity_and_depend_on_nothing_but_what_is_given(begun):
    labels = begun.labels
    check_labels(labels, capacity=SPACE.capacity, num_triples=NUM_TRIPLES, method=begun.frame.config.method)
    assert labels.labels.dtype == np.int32
    assert labels.weight.dtype == np.float32
    assert np.all(labels.weight[labels.labels[:, 0] < 0] == 0)
    cameras = (np.arange(NUM_TRIPLES) % NUM_CAMERAS).astype(np.int32)
    again = begun.method.label(begun.frame, begun.before, begun.features.target, cameras, 0)
    np.testing.assert_array_equal(again.labels, labels.labels)
    np.testing.assert_array_equal(again.weight, labels.weight)


def test_clusters_that_are_plain_to_see_are_found(begun):
    truth = np.arange(NUM_TRIPLES) % NUM_TARGET
    found = begun.labels.labels[:, 0]
    drawn = found >= 0
    assert len({*zip(truth[drawn].tolist(), found[drawn].tolist(), strict=True)}) == NUM_TARGET


def test_the_capacity_holds_the_clusters_and_is_a_whole_number(name):
    frame = small_frame(method=name)
    assert methods.find(name).capacity(frame.config, NUM_TRIPLES) == NUM_TARGET


# --- the step


def test_two_steps_are_finite_learn_and_are_one_program(begun):
    state, terms = begun.first
    traced = len(begun.traced)
    second, _ = run(
        begun.step, jax.tree.map(lambda leaf: leaf.copy(), state), *batches(begun.frame), mesh=begun.mesh
    )
    assert len(begun.traced) == traced
    assert int(second.step) == 2
    for tree in (state, second, terms):
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(as_arrays(tree)))
    assert float(terms["total"]) > 0
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), as_arrays(second.params), as_arrays(state.params))
    assert any(jax.tree.leaves(moved))


def test_the_total_is_the_weighted_sum_of_the_terms(begun):
    _, terms = begun.first
    factors = begun.method.weights(begun.frame.config)
    assert set(factors) <= set(terms)
    total = sum(factors.get(term, 1.0) * float(value) for term, value in terms.items() if term != "total")
    assert float(terms["total"]) == pytest.approx(total, rel=1e-9)


def test_an_epoch_with_fewer_clusters_needs_no_other_program(begun):
    state = begin(begun.frame.config.method, begun.frame, fewer_clusters=True).state
    traced = len(begun.traced)
    after, terms = run(begun.step, put_replicated(state, begun.mesh), *batches(begun.frame), mesh=begun.mesh)
    assert len(begun.traced) == traced
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(as_arrays((after, terms))))


def test_a_run_that_is_saved_goes_on_bit_for_bit(begun, tmp_path):
    state, _ = begun.first
    expected = run(
        begun.step, jax.tree.map(lambda leaf: leaf.copy(), state), *batches(begun.frame), mesh=begun.mesh
    )
    with open_checkpoints(tmp_path) as checkpoints:
        save_state(checkpoints, state)
        like = jax.eval_shape(lambda: state)
        restored = restore_state(checkpoints, int(state.step), like, begun.mesh)
    actual = run(begun.step, restored, *batches(begun.frame), mesh=begun.mesh)
    assert_same(actual, expected)


def test_the_networks_that_are_named_are_networks_of_the_model(begun):
    state, _ = begun.first
    new = jax.eval_shape(lambda: create_state(begun.frame, OPTIMIZER))
    for network in begun.method.networks(begun.frame.config):
        for domain in ("source", "target"):
            found = network.variables(state, domain)
            wanted = {"params": new.params, "batch_stats": new.statistics.source}
            shapes = [jax.tree.map(lambda leaf: leaf.shape, tree) for tree in (found, wanted)]
            assert shapes[0] == shapes[1]


@pytest.mark.parametrize("name", SPREAD, scope="module", indirect=True)
def test_eight_devices_compute_what_one_does(begun):
    one = stepped(begun.method, begun.frame, begun.state, 1).first
    close = partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-7)
    jax.tree.map(close, as_arrays(begun.first), as_arrays(one))


def test_under_the_us_protocol_the_step_takes_no_source_and_leaves_a_state_of_the_same_form(name):
    frame = small_frame(**{"method": name, "adapt.protocol": "us"})
    if "source" in methods.needs_of(name):
        with pytest.raises(ConfigError, match=f"the method {name} learns from both domains; choose uda"):
            check_config(frame.config, num_devices=1)
        return
    begun = begin(name, frame)
    step = make_step(begun.method, begun.frame, OPTIMIZER, make_mesh(jax.devices()[:1]))
    after, terms = jax.eval_shape(step, begun.state, *batches(begun.frame))
    forms = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree) for tree in (after, begun.state)]
    assert forms[0] == forms[1]
    assert not [term for term in terms if "source" in term]


def test_a_triple_that_weighs_nothing_has_no_label_to_learn_from(begun):
    """Its label may be any: what the step learns is the same, but for what names its class's images."""
    if begun.frame.config.method == "man":
        pytest.skip("MAN aligns unreliable triples too, by design: tests/methods/test_man_step.py")
    source, target = batches(begun.frame)
    other = target.replace(
        labels=jnp.asarray(
            np.where(HALF[:, None], target.labels, (target.labels + 1) % (NUM_TARGET - 1)), "i4"
        )
    )
    results = [
        run(begun.step, put_replicated(begun.state, begun.mesh), source, each, mesh=begun.mesh)
        for each in (target, other)
    ]
    assert_same(*results)
