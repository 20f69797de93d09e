"""The loss of a step of MAN: what of both batches reaches which term, and what it leaves in the state."""

import jax
import numpy as np
import optax
import pytest

from man_jax.engine.augment import Normalization, normalize
from man_jax.frame import TRAINED, Batch
from man_jax.methods import man
from tests.engine.tiny import (
    MEMORY,
    MODEL,
    NUM_SOURCE,
    NUM_TARGET,
    QUICKLY,
    SPACE,
    B,
    as_arrays,
    assert_same,
    in_double,
    new_batch,
    new_frame,
    new_state,
)
from tests.oracles import modality as modality_oracle
from tests.oracles import prototypes as oracle

MOMENTUM = 0.9
CHANGES = {
    "man.alpha": 1.7,
    "man.beta": 0.3,
    "man.memory_weight": 0.6,
    "man.momentum": MOMENTUM,
    # Images are only normalised, so that features can be had without the step's keys.
    "augment.flip": 0.0,
    "augment.pad": 0,
    "augment.erase": 0.0,
}
HALF = np.arange(B) % 2 == 0
"""One of each cluster's two triples is reliable."""


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    with jax.enable_x64(True):
        yield


def compiled(**changes):
    """A loss of MAN as a function of (state, source, target): the terms with their total, and what changes."""
    frame = new_frame(**CHANGES | changes)

    def loss(state, source, target):
        value, change = man.loss(frame, state.params, state, source, target, state.key)
        return {"total": value, **change.terms}, change

    run = jax.jit(loss, compiler_options=QUICKLY)
    return lambda *arguments: as_arrays(run(*arguments))


@pytest.fixture(scope="module")
def loss():
    return compiled()


@pytest.fixture(scope="module")
def state():
    return in_double(new_state(optax.identity()))


@pytest.fixture(scope="module")
def source() -> Batch:
    return new_batch(1, NUM_SOURCE)


@pytest.fixture(scope="module")
def target() -> Batch:
    return new_batch(2, NUM_TARGET, reliable=HALF)


@pytest.fixture(scope="module")
def passed(loss, state, source, target):
    return loss(state, source, target)


@pytest.fixture(scope="module")
def features(state):
    """The network's features in training mode, as a function of a batch."""

    def run(variables, images):
        return MODEL.features(variables, normalize(images, Normalization()), train=True)[0]

    network = jax.jit(run, compiler_options=QUICKLY)
    variables = TRAINED.variables(state, "source")
    return lambda batch: jax.tree.map(np.asarray, network(variables, batch.images))


def assert_close(actual, expected, rtol: float = 1e-8, atol: float = 1e-9) -> None:
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


# --- the terms


def test_the_total_is_the_weighted_sum_of_eq_23(passed):
    terms = {name: float(value) for name, value in passed[0].items()}
    total = terms.pop("total")
    alignment = 1.7 * (terms.pop("domain_intra") + terms.pop("domain_inter")) + 0.3 * terms.pop("modality")
    cross_batch = 0.6 * terms.pop("memory")
    reid = {f"{name}_{domain}" for name in ("identity", "triplet") for domain in ("source", "target")}
    assert set(terms) == reid
    assert total == pytest.approx(sum(terms.values()) + cross_batch + alignment, rel=1e-9)


def test_each_domain_has_running_statistics_of_its_own(state, source, target, features, passed):
    for domain, batch in (("source", source), ("target", target)):
        moved = 0.9 * neck_mean(state.statistics, domain) + 0.1 * features(batch).pooled.mean(axis=1)
        assert_close(neck_mean(passed[1].statistics, domain), moved)


def neck_mean(statistics, domain: str) -> np.ndarray:
    return np.asarray(getattr(statistics, domain)["branches"]["neck"]["mean"])


def test_proto_proto_learns_through_the_prototypes_that_the_batch_moves(state, source, target):
    """Table 5; prototypes of before the batch are constants, and PDA would change no weight."""
    frame = new_frame(**CHANGES | {"man.domain_pairs": "proto_proto"})

    def halves(scale):
        branches = state.params["branches"] | {"neck": {"scale": scale}}
        params = state.params | {"branches": branches}
        _, change = man.loss(frame, params, state, source, target, state.key)
        return change.terms["domain_intra"] + change.terms["domain_inter"]

    scale = state.params["branches"]["neck"]["scale"]
    slope = jax.jit(jax.grad(halves), compiler_options=QUICKLY)(scale)
    assert np.abs(slope).max() > 1e-5


# --- what is not reliable


def test_a_reliable_label_has_influence(loss, state, source, target, passed):
    wrong = np.where(HALF, (target.label + 1) % NUM_TARGET, target.label).astype(np.int32)
    terms, _ = loss(state, source, target.replace(labels=wrong[:, None]))
    assert terms["identity_target"] != passed[0]["identity_target"]


def test_images_whose_label_is_not_reliable_take_part_in_alignment(loss, state, source, target, passed):
    images = target.images.copy()
    images[~HALF] = 255 - images[~HALF]
    terms, _ = loss(state, source, target.replace(images=images))
    for name in ("domain_intra", "domain_inter", "modality"):
        assert abs(terms[name] - passed[0][name]) > 1e-5


def test_without_a_reliable_label_the_target_is_not_learnt_to_identify(loss, state, source, target):
    terms, change = loss(state, source, target.replace(weight=np.zeros(B, np.float32)))
    assert (terms["identity_target"], terms["triplet_target"]) == (0, 0)
    assert_same(change.slots.banks.target, state.slots.banks.target)


# --- without the source (the US protocol)


@pytest.fixture(scope="module")
def alone():
    """The loss of the target alone, with prototypes that move by one instance after the other."""
    loss = compiled(**{"man.moving_form": "sequential"})
    return lambda state, target: loss(state, None, target)


@pytest.fixture(scope="module")
def unsupervised(alone, state, target):
    return alone(state, target)


def test_without_the_source_the_total_is_what_is_left_of_eq_23(unsupervised):
    terms = {name: float(value) for name, value in unsupervised[0].items()}
    assert set(terms) == {"total", "identity_target", "triplet_target", "memory", "modality"}
    expected = (
        terms["identity_target"] + terms["triplet_target"] + 0.6 * terms["memory"] + 0.3 * terms["modality"]
    )
    assert terms["total"] == pytest.approx(expected, rel=1e-9)


def test_without_the_source_the_target_is_compared_with_itself(unsupervised, state, target, features):
    rows = np.asarray(features(target).pooled)
    instances = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    bank = as_arrays(state.slots.banks.target)
    prototypes = bank.modal[:, bank.valid]
    both_ways = modality_oracle.modality_margin_loss(instances, instances, prototypes, prototypes)
    assert float(unsupervised[0]["modality"]) == pytest.approx(both_ways / 2, rel=1e-8)


def test_without_the_source_all_that_is_the_source_s_own_stays(unsupervised, state):
    _, change = unsupervised
    assert_same(change.slots.banks.source, state.slots.banks.source)
    assert_same(change.statistics.source, state.statistics.source)
    entered = set(change.slots.queue.labels[MEMORY // 2 : MEMORY // 2 + B // 2])
    assert all(label >= NUM_SOURCE for label in entered)


# --- banks and queue


def assert_banks_moved(change, state, batch: Batch, seen, domain: str, form: str) -> None:
    before, after = (getattr(slots.banks, domain) for slots in (as_arrays(state.slots), change.slots))
    kept = batch.reliable
    tables = zip([*after.modal, after.fused], [*before.modal, before.fused], strict=True)
    for (moved, values), rows in zip(tables, [*seen.modal_unit, seen.fused_unit], strict=True):
        members = (np.asarray(rows)[kept], batch.label[kept])
        assert_close(moved, oracle.move_prototypes(values, before.valid, *members, MOMENTUM, form))
    np.testing.assert_array_equal(after.valid, before.valid)
    assert np.abs(after.fused - before.fused).max() > 1e-3


@pytest.mark.parametrize("domain", ["source", "target"])
def test_banks_move_towards_the_features_of_the_batch(state, source, target, features, passed, domain):
    batch = {"source": source, "target": target}[domain]
    assert_banks_moved(passed[1], state, batch, features(batch), domain, "batch_mean")


def test_banks_may_move_by_one_reliable_instance_after_the_other(alone, state, target, features):
    alike = target.replace(labels=np.zeros((B, 1), np.int32))
    _, change = alone(state, alike)
    assert_banks_moved(change, state, alike, features(alike), "target", "sequential")


def test_the_queue_holds_the_reliable_triples_of_the_batch_before_the_neck(
    state, source, target, features, passed
):
    before, after = as_arrays(state).slots.queue, passed[1].slots.queue
    rows = np.concatenate([features(source).fused_pooled, features(target).fused_pooled[HALF]])
    labels = np.concatenate([source.label, target.label[HALF] + NUM_SOURCE])
    start, end = MEMORY // 2, MEMORY // 2 + len(labels)
    np.testing.assert_array_equal(after.labels[start:end], labels)
    assert_close(after.features[start:end], rows)
    np.testing.assert_array_equal(after.features[:start], before.features[:start])
    assert after.cursor == end


def test_the_classes_that_exist_stay_through_the_epoch(loss, state, source, target):
    exists = SPACE.exists(NUM_TARGET - 1)
    _, change = loss(state.replace(slots=state.slots._replace(exists=exists)), source, target)
    np.testing.assert_array_equal(change.slots.exists, exists)


# --- what only some keys ask for


def test_a_sample_counts_by_its_score_if_so_wished(state, source, target, passed):
    scored = compiled(**{"man.reliability": "score"})
    again, _ = scored(state, source, target)
    assert again["identity_target"] == pytest.approx(passed[0]["identity_target"], rel=1e-9)
    half = np.where(np.arange(B) < B // 2, 0.5, 1.0).astype(np.float32) * target.weight
    other, _ = scored(state, source, target.replace(weight=half))
    for name in ("identity_target", "memory"):
        assert abs(other[name] - again[name]) > 1e-6, name
    assert other["domain_intra"] == pytest.approx(again["domain_intra"], rel=1e-9)


@pytest.mark.parametrize("head", ["cosine", "memory"])
def test_l_id_reads_the_logits_of_its_head_and_nothing_else_does(state, source, target, passed, head):
    terms, change = compiled(**{"man.head": head})(state, source, target)
    for name, value in passed[0].items():
        same = abs(terms[name] - value) < 1e-9
        assert same != name.startswith(("identity", "total")), name
    assert_same(change.slots.banks, passed[1].slots.banks)


def test_before_the_neck_other_features_are_aligned_and_their_prototypes_move(
    state, source, target, features
):
    aligned = state.slots.banks
    begun = state.replace(slots=state.slots._replace(aligned=aligned))
    _, change = compiled(**{"man.aligned": "pooled"})(begun, source, target)
    for domain, batch in (("source", source), ("target", target)):
        rows = features(batch).pooled[1]
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        bank = getattr(aligned, domain)
        expected = oracle.move_prototypes(
            np.asarray(bank.modal[1]),
            np.asarray(bank.valid),
            rows[batch.reliable],
            batch.label[batch.reliable],
            MOMENTUM,
        )
        assert_close(getattr(change.slots.aligned, domain).modal[1], expected)
