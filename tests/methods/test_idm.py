"""The intermediate domain module: what a step learns from, and what an epoch's beginning sets."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax.engine.labelling import known_labels
from man_jax.engine.optimizer import make_optimizer
from man_jax.engine.state import begin_phase
from man_jax.frame import Batch, ByDomain, EpochFeatures, FeatureTable, Frame, Labels, TrainState
from man_jax.methods import idm as subject
from man_jax.networks.three_branch import Features, Outputs
from tests.engine.tiny import QUICKLY
from tests.methods.linear_model import (
    NUM_TRIPLES,
    SPACE,
    D,
    M,
    linear_batch,
    linear_frame,
    linear_state,
    seen,
)
from tests.oracles import bridge, identity, memories
from tests.oracles.cases import unit_normal

KEY = jax.random.key(3)
SIZE = (2, 2)
OPTIMIZER = make_optimizer("adam", lambda _: 0.1, weight_decay=0.0)
IDENTITIES = np.arange(NUM_TRIPLES, dtype=np.int32) % 3


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    with jax.enable_x64(True):
        yield


class StagedModel:
    """Stage 0 scales the pixels, the rest is a matrix of their means; each half has a norm, which counts its passes."""

    num_modalities, dim, num_classes = M, D, SPACE.num_classes

    def maps(self, variables: Any, images: Any, *, train: bool, last: int) -> tuple[tuple, Any]:
        assert last == 0
        statistics, scale = (
            variables["batch_stats"]["branches"],
            variables["params"]["branches"]["stem"]["scale"],
        )
        maps = jnp.moveaxis(images, 1, 0) * scale
        return (maps,), {"branches": {**statistics, "stem": {"passes": statistics["stem"]["passes"] + train}}}

    def features_from(self, variables: Any, maps: Any, *, stage: int, train: bool) -> tuple[Features, Any]:
        assert (train, stage) == (True, 0)
        statistics, params = variables["batch_stats"]["branches"], variables["params"]["branches"]
        pooled = jnp.einsum("mbhwc,mcd->mbd", maps, params["matrix"]) / np.prod(SIZE)
        moved = {"branches": {**statistics, "late": {"passes": statistics["late"]["passes"] + 1}}}
        return Features(pooled, pooled * params["late"]["scale"]), moved

    def outputs_from(self, variables: Any, features: Features, *, train: bool) -> tuple[Outputs, Any]:
        assert train
        heads = variables["params"]["heads"]
        modal = features.normed @ heads["modal"]["kernel"]
        fused = features.fused_normed @ heads["fused"]["kernel"]
        return Outputs(features, features.fused_normed, jnp.concatenate([modal, fused[None]])), {}


def staged_frame(**changes: Any) -> Frame:
    small = {"method": "idm", "adapt.num_clusters": 3, "data.image_size": SIZE, "idm.memory_size": 10}
    return linear_frame(**{**small, **changes})._replace(model=StagedModel())


def staged_state() -> TrainState:
    rng = np.random.default_rng(0)
    state = linear_state()
    branches = {
        "matrix": jnp.asarray(rng.normal(size=(M, 3, D))),
        "stem": {"scale": jnp.float64(1.5)},
        "late": {"scale": jnp.float64(2.0)},
    }
    params = {"branches": branches, "heads": state.params["heads"]}
    statistics = {"branches": {"stem": {"passes": jnp.int32(0)}, "late": {"passes": jnp.int32(0)}}}
    return state.replace(params=params, statistics=ByDomain(statistics, statistics))


def staged_batch(seed: int, labels: list[int], **keywords: Any) -> Batch:
    batch = linear_batch(seed, labels, **keywords)
    return batch.replace(images=batch.images.reshape(len(labels), M, *SIZE, 3))


FACTORS = {"source": 0.5, "mixed": 3.0}
"""What the norms of a stream are of those of the target."""
PAST = 4


def new_state(frame: Frame) -> TrainState:
    """A state amid adaptation: other norms in each stream, and past features in the queue."""
    state = subject.start(frame, staged_state())
    rng = np.random.default_rng(9)
    queue = state.slots.queue
    queue = queue._replace(
        features=queue.features.at[:PAST].set(rng.normal(size=(PAST, M * D))),
        labels=queue.labels.at[:PAST].set(jnp.asarray([0, 2, 3, 4], jnp.int32)),
        cursor=jnp.int32(PAST),
    )
    norms = {
        name: jax.tree.map(lambda leaf, by=by: leaf * by, state.params["norms"][name])
        for name, by in FACTORS.items()
    }
    mixing = jax.tree.map(lambda leaf: 1.5 * leaf, state.params["mixing"])
    return state.replace(
        params={**state.params, "norms": norms, "mixing": mixing},
        slots=state.slots._replace(queue=queue, exists=SPACE.exists(3)),
    )


def stepped(frame: Frame, state: TrainState, source: Batch, target: Batch):
    run = jax.jit(lambda *given: subject.loss(frame, *given, KEY), compiler_options=QUICKLY)
    return run(state.params, state, source, target)


def passed(state: TrainState, stream: str, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rest of the network once more, in NumPy: pooled features of the fusion, and its logits."""
    params, by = state.params["network"], FACTORS.get(stream, 1.0)
    matrix, head = np.asarray(params["branches"]["matrix"]), np.asarray(params["heads"]["fused"]["kernel"])
    pooled = np.concatenate([maps[m].mean(axis=(1, 2)) @ matrix[m] for m in range(M)], axis=1)
    return pooled, pooled * 2.0 * by @ head


@pytest.mark.parametrize(
    "changes", [{}, {"idm.mixed_identity": 0.2, "idm.bridge": 3.0, "idm.memory_weight": 0.5}]
)
def test_a_step_learns_from_both_domains_their_mixtures_and_the_memory(changes):
    frame = staged_frame(**changes)
    state = new_state(frame)
    weight = [1.0, 1.0, 0.5, 0.0]
    source, target = staged_batch(4, [0, 0, 2, 2]), staged_batch(5, [1, 1, 0, 0], weight=weight)
    value, change = stepped(frame, state, source, target)

    exists, weight = np.asarray(state.slots.exists), np.array(weight)
    keys = jax.random.split(KEY, 2)
    maps = {
        name: np.moveaxis(np.asarray(seen(batch.images, key)), 1, 0) * 1.5 * FACTORS.get(name, 1.0)
        for name, batch, key in zip(("source", "target"), (source, target), keys, strict=True)
    }
    shares = bridge.mixing_shares(state.params["mixing"], maps["source"], maps["target"])
    assert np.ptp(shares) > 0.01
    maps["mixed"] = bridge.mix_maps(maps["source"], maps["target"], shares)
    pooled, logits = {}, {}
    for name in ("source", "target", "mixed"):
        pooled[name], logits[name] = passed(state, name, maps[name])
    labels = {"source": source.labels[:, 0], "target": target.labels[:, 0] + SPACE.num_source}
    plain = {
        name: identity.smoothed_cross_entropy(logits[name], labels[name], exists=exists) for name in labels
    }
    mixed = bridge.mixed_cross_entropy(
        logits["mixed"], labels["source"], labels["target"], shares[:, 0], 0.1, exists
    )
    takes_part = np.append(np.ones(4, bool), weight > 0)
    anchors = np.concatenate([pooled["source"], pooled["target"]])[takes_part]
    both = np.concatenate([labels["source"], labels["target"]])[takes_part]
    counts = np.append(np.ones(4), weight)[takes_part]
    old = state.slots.queue
    entries = [(np.asarray(old.features[i]), int(old.labels[i])) for i in range(PAST)]
    entries += list(zip(anchors, both.tolist(), strict=True))
    # There is room for 10, so the oldest of 4 + 7 is overwritten.
    expected = {
        "identity_source": float(np.mean(plain["source"])),
        "identity_target": float(np.sum(plain["target"] * weight) / weight.sum()),
        "identity_mixed": float(np.sum(mixed * weight) / weight.sum()),
        "triplet": identity.batch_hard_triplet(anchors, both, weights=counts),
        "memory": identity.queue_triplet(anchors, both, entries[1:], weights=counts),
        "bridge": bridge.feature_bridge(pooled["source"], pooled["target"], pooled["mixed"], shares),
        "diversity": bridge.share_diversity(shares),
    }
    assert {term: float(found) for term, found in change.terms.items()} == pytest.approx(expected)
    own = frame.config.idm
    total = (
        (1 - own.mixed_identity) * (expected["identity_source"] + expected["identity_target"]) / 2
        + own.mixed_identity * expected["identity_mixed"]
        + expected["triplet"]
        + own.memory_weight * expected["memory"]
        + own.bridge * expected["bridge"]
        + own.diversity * expected["diversity"]
    )
    assert float(value) == pytest.approx(total)
    queue = change.slots.queue
    held = sorted(zip(np.asarray(queue.labels).tolist(), np.asarray(queue.features).tolist(), strict=True))
    wanted = sorted((label, feature.tolist()) for feature, label in entries[1:])
    assert [label for label, _ in held] == [label for label, _ in wanted]
    np.testing.assert_allclose([row for _, row in held], [row for _, row in wanted])


def test_each_stream_moves_statistics_of_its_own():
    frame = staged_frame()
    state = new_state(frame)
    _, change = stepped(frame, state, staged_batch(4, [0, 0, 2, 2]), staged_batch(5, [1, 1, 0, 0]))
    passes = {
        name: tuple(int(each["branches"][half]["passes"]) for half in ("stem", "late"))
        for name, each in change.statistics.items()
    }
    assert passes == {"source": (1, 1), "target": (1, 1), "mixed": (0, 1)}


def test_each_stream_s_norms_learn_and_those_of_the_mixtures_before_the_stage_do_not():
    frame = staged_frame()
    state = new_state(frame)
    batches = staged_batch(4, [0, 0, 2, 2]), staged_batch(5, [1, 1, 0, 0])

    def loss(params):
        return subject.loss(frame, params, state, *batches, KEY)[0]

    slope = jax.jit(jax.grad(loss), compiler_options=QUICKLY)(state.params)
    learnt = {
        (name, half): bool(norms["branches"][half]["scale"] != 0)
        for name, norms in {**slope["norms"], "target": slope["network"]}.items()
        for half in ("stem", "late")
    }
    assert [each for each, moves in learnt.items() if not moves] == [("mixed", "stem")]
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(slope["mixing"]))


def test_all_norms_start_from_the_pre_trained_ones_and_the_queue_is_empty():
    frame, before = staged_frame(**{"idm.memory_size": 0}), staged_state()
    state = subject.start(frame, before)
    assert state.params["network"] is before.params
    for norms in state.params["norms"].values():
        assert norms == {"branches": {half: before.params["branches"][half] for half in ("stem", "late")}}
    assert set(state.statistics) == {"source", "target", "mixed"}
    assert state.params["mixing"]["fc1"]["kernel"].shape == (2 * M * 3, M * 3)
    assert np.all(state.slots.queue.labels == -1)
    assert state.slots.queue.labels.shape == (2 * NUM_TRIPLES,)


def test_another_seed_draws_another_module():
    drawn = [
        np.asarray(subject.start(staged_frame(seed=seed), staged_state()).params["mixing"]["fc1"]["kernel"])
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.all(drawn[0] != drawn[2])


def test_without_a_source_there_is_nothing_to_mix():
    frame = staged_frame(**{"adapt.protocol": "us"})
    state = new_state(frame)
    with pytest.raises(ValueError, match="the method idm mixes both domains; choose uda"):
        subject.loss(frame, state.params, state, None, staged_batch(5, [1, 1, 0, 0]), KEY)


def test_the_network_that_is_tested_has_norms_and_statistics_of_the_target_for_all_images():
    state = new_state(staged_frame())
    for domain in ("source", "target"):
        (network,) = subject.networks(staged_frame().config)
        variables = network.variables(state, domain)
        assert variables["params"] is state.params["network"]
        assert variables["batch_stats"] is state.statistics["target"]


# --- an epoch's beginning


def table(seed: int, spread: float = 0.0) -> FeatureTable:
    rng = np.random.default_rng(seed)
    modal = unit_normal(rng, M, 3, D)[:, IDENTITIES] + spread * rng.normal(size=(M, NUM_TRIPLES, D))
    modal /= np.linalg.norm(modal, axis=-1, keepdims=True)
    return FeatureTable(modal, np.concatenate(list(modal), axis=1) / np.sqrt(M), modal)


def begun(frame: Frame, state: TrainState, *, continued: bool = False) -> TrainState:
    labels = Labels(IDENTITIES[:, None], np.ones(NUM_TRIPLES, np.float32), 3, continued)
    features = EpochFeatures((table(1, 0.3),), (table(2, 0.3),))
    return subject.begin_epoch(frame, state, features, ByDomain(known_labels(IDENTITIES), labels))


def columns(state: TrainState) -> np.ndarray:
    return np.asarray(state.params["network"]["heads"]["fused"]["kernel"])


def means(features: FeatureTable) -> np.ndarray:
    return memories.cluster_centres(features.fused, IDENTITIES, 3)[0].T


def test_before_the_first_epoch_the_source_s_columns_become_its_means_and_later_they_are_learnt():
    frame = staged_frame()
    state = begin_phase(new_state(frame), OPTIMIZER)
    first = begun(frame, state)
    np.testing.assert_allclose(columns(first)[:, :3], means(table(1, 0.3)), atol=1e-6)
    np.testing.assert_allclose(columns(first)[:, 3:6], means(table(2, 0.3)), atol=1e-6)
    np.testing.assert_array_equal(columns(first)[:, 6:], columns(state)[:, 6:])
    moved = first.replace(params=jax.tree.map(lambda leaf: leaf + 1, first.params))
    second = begun(frame, moved)
    np.testing.assert_array_equal(columns(second)[:, :3], columns(moved)[:, :3])
    np.testing.assert_allclose(columns(second)[:, 3:6], means(table(2, 0.3)), atol=1e-6)


def test_the_source_s_columns_may_stay_and_the_target_s_may_have_their_length():
    frame = staged_frame(**{"idm.source_columns": "learnt", "idm.head_norm": "matched"})
    state = begin_phase(new_state(frame), OPTIMIZER)
    found, old = columns(begun(frame, state)), columns(state)
    np.testing.assert_array_equal(found[:, :3], old[:, :3])
    length = np.linalg.norm(old[:, :3], axis=0).mean()
    np.testing.assert_allclose(found[:, 3:6], length * means(table(2, 0.3)), atol=1e-6)


@pytest.mark.parametrize("continued", [False, True])
def test_new_clusters_renew_columns_moments_and_memory_and_those_that_go_on_do_not(continued):
    frame = staged_frame()
    state = begin_phase(new_state(frame), OPTIMIZER)
    state = state.replace(opt_state=jax.tree.map(lambda leaf: leaf + 1, state.opt_state))
    after = begun(frame, state, continued=continued)
    kept = np.array_equal(columns(after)[:, 3:6], columns(state)[:, 3:6])
    assert kept == continued
    moments = np.asarray(after.opt_state[1].mu["network"]["heads"]["fused"]["kernel"])
    assert np.all(moments[:, 3:] == (1 if continued else 0))
    assert np.all(moments[:, :3] == 1)
    held = [label for label in np.asarray(after.slots.queue.labels).tolist() if label >= 0]
    assert held == ([0, 2, 3, 4] if continued else [0, 2])
    np.testing.assert_array_equal(after.slots.exists, [True] * 6 + [False])
    assert int(after.slots.epochs) == 1


@pytest.mark.parametrize("clusters", ["kmeans", "dbscan"])
def test_the_fused_features_are_clustered(clusters):
    few = {"idm.k1": 4, "idm.k2": 2, "idm.min_samples": 3}
    frame = staged_frame(**{"idm.clusters": clusters, **few})
    features, alone = table(3, 0.02), clusters == "dbscan"
    if alone:
        features.fused[0] = unit_normal(np.random.default_rng(8), M * D)
    found = subject.label(frame, new_state(frame), (features,), np.zeros(NUM_TRIPLES, np.int32), 0)
    labels = found.labels[alone:, 0]
    assert len(set(zip(labels.tolist(), IDENTITIES[alone:].tolist(), strict=True))) == 3
    assert found.num_clusters == 3
    assert found.estimated == alone
    assert found.labels[0, 0] == (-1 if alone else found.labels[3, 0])
    np.testing.assert_array_equal(found.weight, found.labels[:, 0] >= 0)


def test_there_is_room_for_k_clusters_or_for_one_in_min_samples_triples():
    assert subject.capacity(staged_frame().config, 40) == 3
    assert subject.capacity(staged_frame(**{"idm.clusters": "dbscan"}).config, 40) == 10
    assert subject.capacity(staged_frame(**{"idm.clusters": "dbscan", "idm.capacity": 7}).config, 40) == 7
