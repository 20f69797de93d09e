"""The terms of the authors' code, from the pooled features on, against loops; what an epoch does to heads and banks."""

from functools import cache
from types import SimpleNamespace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax.frame import (
    Batch,
    ByDomain,
    EpochFeatures,
    FeatureTable,
    Frame,
    Labels,
    LabelSpace,
    TrainState,
)
from man_jax.memories.cross_batch import CrossBatch
from man_jax.memories.prototypes import Bank
from man_jax.methods import man_released as released
from man_jax.networks.three_branch import Branch, ThreeBranch
from tests.engine.tiny import QUICKLY, new_frame
from tests.oracles import released as oracle
from tests.oracles.cases import unit_normal

M, B, D = 3, 4, 3
SPACE = LabelSpace(num_source=4, capacity=3)
ENTRIES = 13


class Pooled(nn.Module):
    """A backbone whose features are its images, so that a loss has a gradient by the pooled features."""

    dim: int = D

    def __call__(self, images: Any, *, train: bool) -> Any:
        del train
        return images.reshape(images.shape[0], -1)


MODEL = ThreeBranch(
    Branch(Pooled()),  # pyright: ignore[reportArgumentType]
    num_classes=SPACE.num_classes,
    application="vmap",
    fusion_neck="own",
)


def frame_of(**changes: Any) -> Frame:
    frame = new_frame(**{"method": "man_released", "model.fusion_neck": "own", **changes})
    return frame._replace(model=MODEL, space=SPACE, view=lambda _, images: images)


MOVED_FAR = {
    "man_released.modality_distance": "squared",
    "man_released.momentum": 0.4,
    "loss.smoothing": 0.3,
}
CASES = {
    "cosine": {"seed": 0, "at": 0},
    "a queue that starts again": {"seed": 2, "at": ENTRIES - 3},
    "unreliable triples": {"seed": 3, "at": 4, "reliable": [True, True, True, False]},
    "squared, moved far": {"seed": 1, "at": 2, **MOVED_FAR},
    "squared, another draw": {"seed": 4, "at": ENTRIES - 7, **MOVED_FAR},
}
TERMS = (
    *(f"{loss}_{domain}" for loss in ("identity", "triplet") for domain in ("source", "target")),
    *("memory", "domain_intra", "domain_inter", "domain_fused", "modality"),
)


def drawn(case: str) -> SimpleNamespace:
    """Pooled features of both domains, a state amid adaptation, and the configuration of a case."""
    changes = dict(CASES[case])
    rng = np.random.default_rng(changes.pop("seed"))
    at, reliable = changes.pop("at"), np.array(changes.pop("reliable", [True] * B))
    frame = frame_of(**changes)
    variables = jax.tree.map(np.asarray, MODEL.init(jax.random.key(0), (1, 1)))
    params = jax.tree.map(lambda leaf: rng.uniform(0.5, 1.5, leaf.shape), variables["params"])
    params["heads"] = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params["heads"])
    banks = [
        Bank(unit_normal(rng, M, n, D), unit_normal(rng, n, M * D), np.ones(n, bool))
        for n in (SPACE.num_source, SPACE.capacity)
    ]
    held = np.where(np.arange(ENTRIES) < ENTRIES - 2, np.arange(ENTRIES) % SPACE.num_classes, -1)
    queue = CrossBatch(rng.normal(size=(ENTRIES, M * D)), held.astype(np.int32), np.int32(at))
    pooled = [np.abs(rng.normal(size=(M, B, D))) + 0.3 * rng.normal(size=(1, B, 1)) for _ in range(2)]
    labels = [np.repeat(rng.permutation(n)[:2], 2) for n in (SPACE.num_source, SPACE.capacity)]
    return SimpleNamespace(
        frame=frame,
        changes=tuple(sorted(changes.items())),
        params=params,
        statistics=ByDomain(variables["batch_stats"], variables["batch_stats"]),
        slots=released.Slots(ByDomain(*banks), queue, np.int32(1)),
        pooled=pooled,
        labels=labels,
        reliable=[np.ones(B, bool), reliable],
    )


def batch(pooled: Any, labels: Any, reliable: Any) -> Batch:
    images = jnp.moveaxis(pooled, 0, 1).reshape(B, M, 1, D // 3, 3)
    no = jnp.zeros(B, jnp.int32)
    weight, present = jnp.asarray(reliable, jnp.float32), jnp.ones((B, M), bool)
    return Batch(images, no, no, jnp.asarray(labels, jnp.int32)[:, None], weight, present)


@cache
def compiled(changes: tuple):
    """The terms of a step, what it leaves in the slots, and the gradient of each term by the pooled features."""
    frame = frame_of(**dict(changes))

    def terms(pooled, labels, reliable, params, statistics, slots):
        state = TrainState(jnp.int32(0), params, statistics, (), jax.random.key(0), slots)
        both = [batch(*each) for each in zip(pooled, labels, reliable, strict=True)]
        _, change = released.loss(frame, params, state, *both, state.key)
        return change.terms, (change.terms, change.slots)

    return jax.jit(jax.jacrev(terms, has_aux=True), compiler_options=QUICKLY)


def expected(given: SimpleNamespace, pooled) -> SimpleNamespace:
    """The same terms from the oracle."""
    params, own = given.params, given.frame.config.man_released
    necks = params["branches"]["neck"]["scale"], params["fusion_neck"]["scale"]
    kernels = params["heads"]["modal"]["kernel"], params["heads"]["fused"]["kernel"]
    domains = [
        oracle.Domain(g, *necks, *kernels, labels, labels + first, reliable)
        for g, labels, first, reliable in zip(
            pooled, given.labels, (0, SPACE.num_source), given.reliable, strict=True
        )
    ]
    source, target = domains
    terms = {}
    for name, domain in zip(("source", "target"), domains, strict=True):
        terms[f"identity_{name}"] = oracle.identity(domain, given.frame.config.loss.smoothing)
        terms[f"triplet_{name}"] = oracle.triplet(domain)
    banks = [
        oracle.moved_bank((bank.modal, bank.fused), domain, own.momentum)
        for bank, domain in zip(given.slots.banks, domains, strict=True)
    ]
    terms |= oracle.domain_alignment(source, target, *banks)
    distance = own.modality_distance
    directions = [oracle.modality_alignment(source, banks[1], distance)]
    directions += [oracle.modality_alignment(target, banks[0], distance)]
    terms["modality"] = sum(directions)
    return SimpleNamespace(terms=terms, domains=domains, banks=banks)


def filled(given: SimpleNamespace, domains) -> oracle.Queue:
    """The queue once the batches have entered it."""
    held = zip(given.slots.queue.features, given.slots.queue.labels, strict=True)
    queue = oracle.Queue([None if c < 0 else (row, int(c)) for row, c in held], int(given.slots.queue.cursor))
    queue.write(
        [
            (row, int(c))
            for domain in domains
            for row, c, taken in zip(domain.fused, domain.classes, domain.reliable, strict=True)
            if taken
        ]
    )
    return queue


def differences(function, pooled, step: float = 1e-6):
    """The gradient of each term by central differences: {term: [2, M, B, D]}."""
    slopes = {name: np.zeros((2, M, B, D)) for name in TERMS}
    for index in np.ndindex(2, M, B, D):
        for sign in (1, -1):
            ahead = [rows.copy() for rows in pooled]
            ahead[index[0]][index[1:]] += sign * step
            for name, value in function(ahead).items():
                slopes[name][index] += sign * value / (2 * step)
    return slopes


@pytest.fixture(scope="module", params=CASES)
def compared(request) -> SimpleNamespace:
    """A case: the terms and their gradients, those of the oracle, and what the step leaves."""
    given = drawn(request.param)
    with jax.enable_x64(True):
        arguments = (given.pooled, given.labels, given.reliable, given.params, given.statistics, given.slots)
        run = compiled(given.changes)
        slopes, (values, slots) = jax.tree.map(np.asarray, run(*jax.tree.map(jnp.asarray, arguments)))
    there = expected(given, given.pooled)
    constant = [(row.copy(), c) for row, c in filter(None, filled(given, there.domains).entries)]

    def terms(pooled):
        at = expected(given, pooled)
        return {**at.terms, "memory": oracle.cross_batch(at.domains, constant)}

    return SimpleNamespace(
        given=given,
        values=values,
        slots=slots,
        slopes={name: np.stack(slopes[name]) for name in TERMS},
        wanted=terms(given.pooled),
        wanted_slopes=differences(terms, given.pooled),
        there=there,
    )


@pytest.mark.parametrize("term", TERMS)
def test_a_term_has_the_value_of_the_authors_formula(compared, term):
    assert compared.wanted[term] > 0
    assert compared.values[term] == pytest.approx(compared.wanted[term], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("term", TERMS)
def test_a_term_has_the_gradient_of_the_authors_formula(compared, term):
    ours, theirs = compared.slopes[term].ravel(), compared.wanted_slopes[term].ravel()
    assert np.linalg.norm(theirs) > 1e-3
    cosine = ours @ theirs / (np.linalg.norm(ours) * np.linalg.norm(theirs))
    assert cosine >= 0.9999
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_the_step_leaves_the_moved_prototypes_and_the_filled_queue(compared):
    for bank, (modal, fused) in zip(compared.slots.banks, compared.there.banks, strict=True):
        np.testing.assert_allclose(bank.modal, modal, rtol=1e-9)
        np.testing.assert_allclose(bank.fused, fused, rtol=1e-9)
    queue = filled(compared.given, compared.there.domains)
    assert int(compared.slots.queue.cursor) == queue.place
    labels = [-1 if entry is None else entry[1] for entry in queue.entries]
    np.testing.assert_array_equal(compared.slots.queue.labels, labels)
    for row, entry in zip(compared.slots.queue.features, queue.entries, strict=True):
        if entry is not None:
            np.testing.assert_allclose(row, entry[0], rtol=1e-6)


# --- the start of an epoch

EPOCH = 12
"""Triples of each domain."""


def tables(seed: int) -> FeatureTable:
    rng = np.random.default_rng(seed)
    modal = unit_normal(rng, M, EPOCH, D).astype(np.float32)
    fused = np.moveaxis(modal, 0, 1).reshape(EPOCH, -1) / np.sqrt(M)
    return FeatureTable(modal, fused, unit_normal(rng, M, EPOCH, D).astype(np.float32))


SOURCE, TARGET = tables(1), tables(2)
IDENTITIES = (np.arange(EPOCH) % SPACE.num_source).astype(np.int32)
CLUSTERS = (np.arange(EPOCH) % SPACE.capacity).astype(np.int32)
KEPT = np.arange(EPOCH) % 5 != 0


def begun(times: int = 1, *, continued: bool = False, **changes: Any) -> tuple[TrainState, TrainState]:
    """A state before and after so many beginnings of an epoch."""
    frame = frame_of(**changes)._replace(num_triples=ByDomain(EPOCH, EPOCH))
    variables = MODEL.init(jax.random.key(0), (1, 1))
    statistics = ByDomain(variables["batch_stats"], variables["batch_stats"])
    state = TrainState(jnp.int32(0), variables["params"], statistics, (), jax.random.key(0))
    state = before = released.start(frame, state)
    weight = KEPT.astype(np.float32)
    target = Labels(CLUSTERS[:, None], weight, SPACE.capacity, continued, clusterings={"F": CLUSTERS})
    source = Labels(IDENTITIES[:, None], np.ones(EPOCH, np.float32), SPACE.num_source, continued=True)
    for _ in range(times):
        both = EpochFeatures((SOURCE,), (TARGET,))
        state = released.begin_epoch(frame, state, both, ByDomain(source, target))
    return before, state


def mean_of(rows: np.ndarray, labels: np.ndarray, label: int) -> np.ndarray:
    mean = rows[labels == label].mean(axis=0)
    return mean / np.linalg.norm(mean)


def test_the_source_s_columns_of_all_heads_are_its_class_means_once():
    before, after = begun()
    for c in range(SPACE.num_source):
        for m in range(M):
            column = after.params["heads"]["modal"]["kernel"][m, :, c]
            np.testing.assert_allclose(column, mean_of(SOURCE.modal[m], IDENTITIES, c), atol=1e-6)
        column = after.params["heads"]["fused"]["kernel"][:, c]
        np.testing.assert_allclose(column, mean_of(SOURCE.fused, IDENTITIES, c), atol=1e-6)
    _, learnt = begun(**{"man_released.source_columns": "learnt"})
    for name in ("modal", "fused"):
        np.testing.assert_array_equal(
            learnt.params["heads"][name]["kernel"][..., : SPACE.num_source],
            before.params["heads"][name]["kernel"][..., : SPACE.num_source],
        )


@pytest.mark.parametrize(
    ("columns", "epoch", "changed"),
    [("centres", 1, True), ("later", 1, False), ("later", 2, True), ("learnt", 2, False)],
)
def test_only_the_fused_head_gets_the_centres_of_the_clusters(columns, epoch, changed):
    before, after = begun(epoch, **{"man_released.target_columns": columns})
    first = SPACE.num_source
    heads = [state.params["heads"] for state in (before, after)]
    modal = [head["modal"]["kernel"][..., first:] for head in heads]
    np.testing.assert_array_equal(*modal)
    for k in range(SPACE.capacity):
        old, new = (head["fused"]["kernel"][:, first + k] for head in heads)
        wanted = mean_of(TARGET.fused, CLUSTERS, k) if changed else old
        np.testing.assert_allclose(new, wanted, atol=1e-6)


def test_heads_of_labels_that_keep_their_meaning_are_left():
    before, after = begun(continued=True, **{"man_released.source_columns": "learnt"})
    jax.tree.map(np.testing.assert_array_equal, before.params["heads"], after.params["heads"])


def test_the_source_s_prototypes_are_made_once_and_the_target_s_each_epoch():
    """Prototypes of Unit(g), the target's of its reliable triples only."""
    _, state = begun(**{"man_released.prototype_weights": "average"})
    for c in range(SPACE.num_source):
        wanted = mean_of(SOURCE.pooled[0], IDENTITIES, c)
        np.testing.assert_allclose(state.slots.banks.source.modal[0, c], wanted, atol=1e-6)
    for k in range(SPACE.capacity):
        wanted = mean_of(TARGET.pooled[1][KEPT], CLUSTERS[KEPT], k)
        np.testing.assert_allclose(state.slots.banks.target.modal[1, k], wanted, atol=1e-6)
    frame = frame_of()._replace(num_triples=ByDomain(EPOCH, EPOCH))
    elsewhere = jax.tree.map(lambda leaf: leaf + 1 if leaf.dtype == "f4" else leaf, state.slots.banks)
    moved = state.replace(slots=state.slots._replace(banks=elsewhere))
    known = Labels(CLUSTERS[:, None], KEPT.astype(np.float32), SPACE.capacity, clusterings={"F": CLUSTERS})
    of_source = Labels(IDENTITIES[:, None], np.ones(EPOCH, np.float32), SPACE.num_source)
    both = EpochFeatures((SOURCE,), (TARGET,))
    banks = released.begin_epoch(frame, moved, both, ByDomain(of_source, known)).slots.banks
    np.testing.assert_array_equal(banks.source.modal, elsewhere.source.modal)
    assert not np.allclose(banks.target.modal, elsewhere.target.modal)


def test_the_samples_themselves_can_be_the_target_s_prototypes():
    """In their order and by their place, so that a cluster moves the sample that has its number."""
    _, state = begun(**{"man_released.target_bank": "samples"})
    bank = state.slots.banks.target
    np.testing.assert_array_equal(bank.valid, np.arange(EPOCH) < KEPT.sum())
    np.testing.assert_allclose(bank.modal[:, : KEPT.sum()], TARGET.pooled[:, KEPT], atol=1e-7)
    assert not np.any(bank.modal[:, KEPT.sum() :])
    joined = np.moveaxis(TARGET.pooled[:, KEPT], 0, 1).reshape(KEPT.sum(), -1) / np.sqrt(M)
    np.testing.assert_allclose(bank.fused[: KEPT.sum()], joined, atol=1e-6)


# --- other rows of the tables


@pytest.mark.parametrize("pairs", ["ins_ins", "proto_proto"])
def test_the_rows_of_table_5_compare_rows_of_one_kind(pairs):
    rng = np.random.default_rng(0)
    rows = {
        kind: [Bank(rng.normal(size=(M, n, D)), rng.normal(size=(n, M * D)), np.ones(n, bool)) for n in sizes]
        for kind, sizes in {"instances": (B, B), "bank": (SPACE.num_source, SPACE.capacity)}.items()
    }
    both = [SimpleNamespace(instances=i, bank=p) for i, p in zip(*rows.values(), strict=True)]
    own = SimpleNamespace(domain_pairs=pairs)
    terms = jax.jit(lambda: released.domain_terms(*both, own), compiler_options=QUICKLY)()  # pyright: ignore
    x, y = rows["instances" if pairs == "ins_ins" else "bank"]
    halves = {"domain_intra": 0.0, "domain_inter": 0.0}
    for i, j in np.ndindex(M, M):
        halves["domain_intra" if i == j else "domain_inter"] += 2 * oracle.mmd(x.modal[i], y.modal[j])
    halves["domain_fused"] = 2 * oracle.mmd(x.fused, y.fused)
    for name, value in halves.items():
        assert float(terms[name]) == pytest.approx(value, rel=1e-4), name


def test_without_identity_loss_the_total_has_none():
    """As the code has it when the target is WMVeID863: in neither domain."""
    config = frame_of(**{"man_released.identity_weight": 0.0}).config
    factors = released.weights(config)
    assert factors["identity_source"] == factors["identity_target"] == 0.0
