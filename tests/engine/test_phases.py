"""Between the epochs of adaptation: where labels come from, and which triples batches are made of."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from man_jax.config import ConfigError
from man_jax.engine import phases
from man_jax.frame import TRAINED, FeatureTable, Labels
from man_jax.memories.prototypes import make_bank
from man_jax.methods import man
from tests.engine.splits import new_domain
from tests.engine.tiny import NUM_SOURCE, NUM_TARGET, D, as_arrays, assert_same
from tests.engine.tiny import NUM_TRIPLES as N
from tests.oracles.cases import unit_normal


def target_columns(state) -> np.ndarray:
    return np.asarray(state.params["heads"]["fused"]["kernel"])[..., NUM_SOURCE:]


@pytest.mark.parametrize("epoch", [0, 1])
def test_each_relabelling_gives_the_heads_new_target_columns(parts, state, epoch):
    after, _, _ = phases.relabel(parts, state, epoch)
    assert not np.array_equal(target_columns(after), target_columns(state))


def test_the_oracle_keeps_its_heads_and_memory_after_the_first_epoch(parts, state):
    parts.config.adapt.labels = "truth"
    first, labels, _ = phases.relabel(parts, state, 0)
    later, _, _ = phases.relabel(parts, state, 1)
    assert_same(later.slots.banks, first.slots.banks)
    assert not np.array_equal(target_columns(first), target_columns(state))
    np.testing.assert_array_equal(target_columns(later), target_columns(state))
    np.testing.assert_array_equal(later.slots.queue.labels, state.slots.queue.labels)
    np.testing.assert_array_equal(labels.target.labels[:, 0], parts.domains.target.identities)


def test_without_the_oracle_true_identities_change_no_label(parts, state):
    _, labels, _ = phases.relabel(parts, state, 0)
    parts.domains = parts.domains._replace(target=new_domain(np.arange(N)[::-1]))
    _, blind, _ = phases.relabel(parts, state, 0)
    np.testing.assert_array_equal(blind.target.labels, labels.target.labels)
    np.testing.assert_array_equal(blind.target.weight, labels.target.weight)


def test_each_domain_s_features_are_of_its_own_triples_and_with_its_own_statistics(parts, state):
    phases.relabel(parts, state, 0)
    assert [split for split, _ in parts.extracted] == [
        parts.domains.target.data.train,
        parts.domains.source.data.train,
    ]
    for (_, variables), domain in zip(parts.extracted, ("target", "source"), strict=True):
        assert variables["batch_stats"] is getattr(state.statistics, domain)
        assert variables["params"] is state.params


def test_the_target_is_evaluated_with_its_own_statistics(parts, state, monkeypatch):
    told = []
    monkeypatch.setattr(phases, "extract_query_gallery", lambda *arguments, **_: told.append(arguments))
    monkeypatch.setattr(phases, "retrieval_distances", lambda *_, **__: None)
    phases.distances_on_target(parts, state, TRAINED)
    ((_, variables, data),) = told
    assert variables["batch_stats"] is state.statistics.target
    assert data is parts.domains.target.data


def test_the_us_protocol_reads_no_source(parts, state):
    parts.config.adapt.protocol = "us"
    after, _, _ = phases.relabel(parts, state, 0)
    assert [split for split, _ in parts.extracted] == [parts.domains.target.data.train]
    before, after = state.slots.banks, after.slots.banks
    np.testing.assert_array_equal(after.source.modal, before.source.modal)
    assert not np.array_equal(after.target.modal, before.target.modal)


UNUSUAL = {
    "seed": 11,
    "adapt.kmeans_init": 3,
    "adapt.labels": "truth",
    "man.labels": "fusion",
    "man.rule": "majority",
    "man.threshold": 0.8,
    "man.prototype_weights": "average",
    "man.temperature": 0.2,
    "man.head_norm": "unit",
}
"""For every key that the start of an epoch reads a value that is not its default."""


@pytest.mark.parametrize("key", UNUSUAL)
def test_every_key_of_the_relabelling_changes_what_an_epoch_begins_with(parts, state, key):
    epoch = 3  # whose clusters are such that the majority and the fusion's vote differ
    usual, labels, _ = phases.relabel(parts, state, epoch)
    parts.config.update_from_flattened_dict({key: UNUSUAL[key]})
    other, others, _ = phases.relabel(parts, state, epoch)
    before, after = (
        jax.tree.leaves(as_arrays((run.params, run.slots, each.target.labels, each.target.weight)))
        for run, each in ((usual, labels), (other, others))
    )
    assert not all(map(np.array_equal, before, after))


def test_the_keys_of_k_means_reach_it(parts, state, monkeypatch):
    """So few triples are clustered after one iteration, whatever is allowed."""
    told, cluster_tables = {}, man.cluster_tables

    def listening(tables, **keywords):
        told.update(keywords)
        return cluster_tables(tables, **keywords)

    monkeypatch.setattr(man, "cluster_tables", listening)
    parts.config.adapt.update(num_clusters=5, kmeans_init=3, kmeans_iterations=7, kmeans_tolerance=1e-3)
    phases.relabel(parts, state, 0)
    del told["key"]
    assert told == {"num_clusters": 5, "num_init": 3, "max_iterations": 7, "tolerance": 1e-3}


def test_every_epoch_clusters_with_other_seeds_and_a_repeated_one_with_the_same(parts, state):
    first, again, other = (phases.relabel(parts, state, epoch)[1].target for epoch in (4, 4, 5))
    np.testing.assert_array_equal(first.labels, again.labels)
    assert not np.array_equal(first.labels, other.labels)


def test_labels_are_those_that_the_first_process_found(parts, state, monkeypatch):
    monkeypatch.setattr(phases, "of_first_process", lambda tree: jax.tree.map(np.zeros_like, tree))
    _, labels, _ = phases.relabel(parts, state, 0)
    for found in (labels.target.labels, labels.target.weight, *labels.target.clusterings.values()):
        assert len(found) == N
        assert not found.any()
    assert labels.target.num_clusters == 0


def test_the_target_s_prototypes_are_those_of_its_reliable_triples_and_the_source_s_of_all(parts, state):
    parts.config.man.threshold = 0.2
    after, labels, _ = phases.relabel(parts, state, 0)
    reliable = labels.target.weight > 0
    assert 0 < reliable.sum() < N
    kind = {"weights": "softmax", "temperature": 1.0}
    for name, known, mask in (
        ("source", parts.domains.source.identities, np.ones(N, bool)),
        ("target", labels.target.labels[:, 0], reliable),
    ):
        bank = getattr(after.slots.banks, name)
        expected = make_bank(*parts.tables[name][:2], known, num_classes=len(bank.valid), mask=mask, **kind)
        assert_same(bank, expected)


def test_no_reliable_triple_leaves_every_cluster_invalid_and_all_numbers_finite(parts, state):
    parts.config.man.threshold = 1.0
    after, labels, row = phases.relabel(parts, state, 0)
    assert not labels.target.weight.any()
    assert not after.slots.banks.target.valid.any()
    np.testing.assert_array_equal(target_columns(after), target_columns(state))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((as_arrays(after), row)))


@pytest.mark.parametrize("modalities", [("N",), ("R", "T")])
def test_fewer_modalities_are_relabelled_alike(parts, state, modalities):
    rng, num = np.random.default_rng(1), len(modalities)
    table = FeatureTable(
        unit_normal(rng, num, N, D).astype(np.float32),
        unit_normal(rng, N, num * D).astype(np.float32),
        unit_normal(rng, num, N, D).astype(np.float32),
    )
    parts.config.model.modalities = modalities
    labels = parts.method.label(parts.frame, state, (table,), parts.domains.target.cameras, 0)
    assert set(labels.clusterings) == {*modalities, "F"}
    assert set(labels.labels[:, 0]) <= set(range(NUM_TARGET))


@pytest.mark.parametrize(("modalities", "present"), [((), None), (("T",), [1]), (("N", "T"), [0, 1])])
def test_the_modalities_at_test_are_the_branches_of_their_names(
    parts, state, monkeypatch, modalities, present
):
    told: dict = {}
    monkeypatch.setattr(phases, "retrieval_distances", lambda *_, **keywords: told.update(keywords))
    parts.config.model.modalities = ("N", "T")
    parts.config.evaluation.modalities = modalities
    monkeypatch.setattr(phases, "extract_query_gallery", lambda *_, **__: None)
    phases.distances_on_target(parts, state, TRAINED)
    assert told["present"] == present


def labelled(reliable: np.ndarray) -> Labels:
    labels = (np.arange(N) % NUM_TARGET).astype(np.int32)
    return Labels(labels[:, None], reliable.astype(np.float32), NUM_TARGET)


def test_reliable_sampling_draws_reliable_triples_only(parts):
    parts.config.adapt.sampling = "reliable"
    reliable = np.arange(N) < N // 2
    _, plan = phases.adaptation_plans(parts, labelled(reliable), 0)
    assert reliable[plan].all()


def test_sampling_all_draws_unreliable_triples_and_two_reliable_ones_where_the_cluster_has_them(parts):
    assert parts.config.adapt.sampling == "all"
    parts.config.adapt.iterations = 40
    reliable = np.isin(np.arange(N), [0, 6, 12, 1])  # three of cluster 0's four triples, one of cluster 1's
    _, plan = phases.adaptation_plans(parts, labelled(reliable), 0)
    groups = plan.reshape(-1, parts.config.batch.instances)
    assert set(np.unique(plan)) == set(range(N)) - {
        18
    }  # cluster 0's fourth has no place beside two reliable ones
    for group in groups:
        cluster = group[0] % NUM_TARGET
        assert reliable[group].sum() == {0: 2, 1: 1}.get(cluster, 0)


def test_too_few_clusters_to_sample_are_an_error_that_names_the_remedies(parts):
    parts.config.adapt.sampling = "reliable"
    with pytest.raises(ConfigError, match=r"epoch 5: 2 clusters.*config\.adapt\.sampling"):
        phases.adaptation_plans(parts, labelled(np.arange(N) < 2), 4)


def test_a_method_s_finer_labelling_is_what_batches_are_drawn_by(parts, state, monkeypatch):
    finer = np.arange(N, dtype=np.int32) // 2
    clusters = (np.arange(N) % NUM_TARGET).astype(np.int32)
    made = Labels(np.stack([clusters, finer], axis=1), np.ones(N, np.float32), NUM_TARGET, drawn_by=1)
    monkeypatch.setattr(parts, "method", SimpleNamespace(**vars(parts.method)))
    parts.method.label = lambda *_: made
    labels = phases._target_labels(parts, state, (), 0)
    _, plan = phases.adaptation_plans(parts, labels, 0)
    groups = finer[plan].reshape(-1, parts.config.batch.instances)
    assert (groups == groups[:, :1]).all()


def test_a_method_s_groups_are_what_each_batch_is_of_one_of(parts, state, monkeypatch):
    groups = np.arange(N, dtype=np.int32) % 2
    clusters = (np.arange(N) % NUM_TARGET).astype(np.int32)  # an even number of them
    made = Labels(clusters[:, None], np.ones(N, np.float32), NUM_TARGET, groups=groups)
    monkeypatch.setattr(parts, "method", SimpleNamespace(**vars(parts.method)))
    parts.method.label = lambda *_: made
    parts.config.batch.identities = 2
    labels = phases._target_labels(parts, state, (), 0)
    _, plan = phases.adaptation_plans(parts, labels, 0)
    assert (groups[plan] == groups[plan][:, :1]).all()


def test_each_network_s_table_has_the_parts_that_it_asks_for(parts, state, monkeypatch):
    told: list = []
    monkeypatch.setattr(phases, "extract_table", lambda *_, **keywords: told.append(keywords["num_parts"]))
    networks = (TRAINED, TRAINED._replace(num_parts=3))
    monkeypatch.setattr(parts, "method", SimpleNamespace(networks=lambda _: networks))
    phases._features(parts, state, "target")
    assert told == [0, 3]
