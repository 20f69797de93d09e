import jax
import jax.numpy as jnp
import numpy as np
import pytest
from man_jax.engine.relabel import (
    begin_epoch,
    cluster_target,
    label_report,
    make_bank,
    settle_target,
    true_labels,
)

from man_jax.clustering import kmeans
from man_jax.config import CHOICES
from man_jax.engine import relabel
from man_jax.engine.extract import FeatureTable
from man_jax.engine.optimizer import make_optimizer
from man_jax.engine.state import Banks
from tests.engine.tiny import NUM_SOURCE, NUM_TARGET, D, M, as_arrays, assert_same, new_bank, new_state
from tests.oracles import prototypes as oracle
from tests.oracles import pseudo_labels as cpa
from tests.oracles.cases import unit_normal
from tests.oracles.precision import SINGLE, assert_close

INVALID = (1, 4)
VALID = ~np.isin(np.arange(NUM_TARGET), INVALID)


@pytest.fixture(scope="module")
def before():
    """A state amid training, its moments all ones."""
    state = new_state(make_optimizer("adam", lambda _: 0.1, weight_decay=0.0))
    return state.replace(opt_state=jax.tree.map(jnp.ones_like, state.opt_state))


@pytest.fixture(scope="module")
def banks() -> Banks:
    rng = np.random.default_rng(5)
    return Banks(new_bank(rng, NUM_SOURCE), new_bank(rng, NUM_TARGET, invalid=INVALID))


@pytest.fixture(scope="module")
def after(before, banks):
    return begin_epoch(before, banks)


def kernels(state) -> dict[str, np.ndarray]:
    return {name: np.asarray(head["kernel"]) for name, head in state.params["heads"].items()}


# --- the beginning of an epoch


@pytest.mark.parametrize("head", ["modal", "fused"])
def test_target_columns_of_the_heads_may_become_the_valid_prototypes(before, banks, head):
    columns = kernels(begin_epoch(before, banks, head_norm="unit"))[head][..., NUM_SOURCE:]
    prototypes = np.asarray(getattr(banks.target, head))
    for i in np.flatnonzero(VALID):
        np.testing.assert_array_equal(columns[..., i], prototypes[..., i, :])


@pytest.mark.parametrize("head", ["modal", "fused"])
def test_target_columns_point_along_their_prototypes_and_are_as_long_as_source_columns(after, banks, head):
    kernel = kernels(after)[head].reshape(-1, *kernels(after)[head].shape[-2:])
    prototypes = np.asarray(getattr(banks.target, head)).reshape(len(kernel), -1, kernel.shape[1])
    for columns, directions in zip(kernel, prototypes, strict=True):
        length = np.mean([np.sqrt(sum(columns[:, c] ** 2)) for c in range(NUM_SOURCE)])
        for i in np.flatnonzero(VALID):
            np.testing.assert_allclose(
                columns[:, NUM_SOURCE + i], length * directions[i], rtol=1e-5, atol=1e-9
            )


@pytest.mark.parametrize("head", ["modal", "fused"])
def test_columns_of_invalid_clusters_stay(before, after, head):
    old, new = (kernels(state)[head][..., NUM_SOURCE:] for state in (before, after))
    np.testing.assert_array_equal(new[..., ~VALID], old[..., ~VALID])


@pytest.mark.parametrize("head", ["modal", "fused"])
def test_source_columns_stay(before, after, head):
    old, new = (kernels(state)[head][..., :NUM_SOURCE] for state in (before, after))
    np.testing.assert_array_equal(new, old)


def test_the_moments_of_the_target_columns_are_zero_and_all_others_stay(after):
    reset = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(as_arrays(after.opt_state)):
        expected = np.ones_like(leaf)
        if "'heads'" in jax.tree_util.keystr(path):
            expected[..., NUM_SOURCE:] = 0
            reset += 1
        np.testing.assert_array_equal(leaf, expected, err_msg=jax.tree_util.keystr(path))
    assert reset == 4  # two moments of two kernels


def test_the_memory_forgets_clusters_and_keeps_identities(before, after):
    old, new = (np.asarray(state.memory.labels) for state in (before, after))
    assert (old >= NUM_SOURCE).any()
    np.testing.assert_array_equal(new, np.where(old >= NUM_SOURCE, -1, old))
    np.testing.assert_array_equal(after.memory.features, before.memory.features)


def test_the_banks_are_the_new_ones_and_the_rest_stays(before, after, banks):
    assert_same(after.banks, banks)
    for part in ("step", "key", "statistics"):
        assert_same(getattr(after, part), getattr(before, part))
    assert_same(after.params["branches"], before.params["branches"])


# --- prototypes


@pytest.fixture(scope="module")
def table() -> FeatureTable:
    """24 samples of four well separated kinds, two modalities of which the third cannot tell apart."""
    rng = np.random.default_rng(6)
    kinds = np.arange(24) % 4
    centres = unit_normal(rng, M, 4, D)
    centres[2, 1] = centres[2, 0]
    modal = centres[:, kinds] + 0.05 * rng.normal(size=(M, 24, D))
    modal /= np.linalg.norm(modal, axis=-1, keepdims=True)
    fused = np.concatenate(modal, axis=1) / np.sqrt(M)
    return FeatureTable(modal.astype(np.float32), fused.astype(np.float32))


@pytest.mark.parametrize("weights", ["softmax", "average"])
def test_a_bank_holds_the_prototypes_of_each_modality_and_of_the_fusion(table, weights):
    rng = np.random.default_rng(7)
    labels, mask = rng.integers(0, 5, 24), rng.random(24) < 0.6
    labels[mask & (labels == 3)] = 2
    kind = {"weights": weights, "temperature": 0.5}
    bank = make_bank(table, labels, num_classes=5, mask=mask, **kind)
    for actual, rows in zip([*bank.modal, bank.fused], [*table.modal, table.fused], strict=True):
        expected, valid = oracle.class_prototypes(rows[mask], labels[mask], 5, **kind)
        assert_close(actual, expected, SINGLE)
        np.testing.assert_array_equal(bank.valid, valid)
    assert not bank.valid[3]


# --- clusters and labels


def test_each_table_is_clustered_by_itself(table):
    clusters = cluster_target(table, num_clusters=4, seed=0, epoch=0, num_init=3)
    kinds = np.arange(24) % 4
    assert clusters.shape == (4, 24)
    for row in (0, 1, 3):
        assert cpa.clustering_accuracy(clusters[row][:12], kinds[:12]) == 1
    assert cpa.clustering_accuracy(clusters[2][:12], kinds[:12]) < 1


def test_clusters_depend_on_seed_and_epoch_alone():
    noise = np.random.default_rng(8)
    table = FeatureTable(
        unit_normal(noise, M, 24, D).astype(np.float32), unit_normal(noise, 24, M * D).astype(np.float32)
    )
    first, again, next_epoch, next_seed = (
        cluster_target(table, num_clusters=6, seed=seed, epoch=epoch)
        for seed, epoch in ((0, 3), (0, 3), (0, 4), (1, 3))
    )
    np.testing.assert_array_equal(again, first)
    assert not np.array_equal(next_epoch, first)
    assert not np.array_equal(next_seed, first)


def test_each_of_the_four_clusterings_has_a_seed_of_its_own(table, monkeypatch):
    seeds: list = []

    def listening(rows, *, key, **settings):
        seeds.append(tuple(jax.random.key_data(key).tolist()))
        return kmeans.kmeans(rows, key=key, **settings)

    monkeypatch.setattr(relabel, "kmeans", listening)
    cluster_target(table, num_clusters=4, seed=0, epoch=0)
    assert len(set(seeds)) == len(seeds) == M + 1


@pytest.mark.parametrize(("num_modalities", "widths"), [(3, 2), (1, 1)])
def test_clusterings_of_one_width_share_one_compilation_at_every_epoch(num_modalities, widths):
    noise = np.random.default_rng(9)
    kmeans._best_clustering.clear_cache()
    for epoch, tolerance in ((0, 1e-6), (1, 1e-3)):
        modal, fused = unit_normal(noise, num_modalities, 24, D), unit_normal(noise, 24, num_modalities * D)
        table = FeatureTable(modal.astype(np.float32), fused.astype(np.float32))
        clusters = cluster_target(table, num_clusters=6, seed=0, epoch=epoch, tolerance=tolerance)
        assert clusters.shape == (num_modalities + 1, 24)
        assert kmeans._best_clustering._cache_size() == widths


CLUSTERS = np.array(
    [
        [0, 0, 0, 1, 1, 1, 2, 2, 2, 2],
        [1, 1, 1, 2, 2, 2, 0, 0, 0, 1],
        [2, 2, 2, 0, 0, 0, 1, 1, 1, 0],
        [0, 0, 0, 1, 1, 1, 2, 2, 2, 0],
    ],
    np.int32,
)
"""Four clusterings that agree but for names, and but for the last sample: R says 2, N and F 0, T 1."""


def settled(labels: str, *, threshold: float = 0.4, rule: str = "fusion_vote", clusters=CLUSTERS):
    return settle_target(clusters, num_clusters=3, labels=labels, rule=rule, threshold=threshold)


def test_cpa_trusts_what_the_modalities_agree_on():
    pseudo = settled("cpa")
    np.testing.assert_array_equal(pseudo.labels, CLUSTERS[3])
    np.testing.assert_array_equal(pseudo.reliable, np.arange(10) < 9)


def test_the_threshold_says_how_much_agreement_is_enough():
    assert settled("cpa", threshold=0.1).reliable.all()


@pytest.mark.parametrize("rule", CHOICES["adapt.rule"])
def test_fusion_labels_are_the_plain_clusters_of_the_fusion_and_all_reliable(rule):
    outvoted = CLUSTERS.copy()
    outvoted[:3, -1] = CLUSTERS[:3, -2]  # R, N and T agree, and the fusion says another
    pseudo = settled("fusion", rule=rule, clusters=outvoted)
    np.testing.assert_array_equal(pseudo.labels, CLUSTERS[3])
    assert pseudo.reliable.all()


def test_true_labels_are_all_reliable():
    identities = np.array([2, 0, 1, 1], np.int32)
    pseudo = true_labels(identities, num_modalities=3)
    np.testing.assert_array_equal(pseudo.labels, identities)
    np.testing.assert_array_equal(pseudo.aligned, np.tile(identities, (4, 1)))
    assert pseudo.reliable.all()
    assert pseudo.reliable.dtype == bool


# --- the report


def test_the_report_tells_each_accuracy_and_what_is_reliable():
    pids = np.array([7, 7, 7, 8, 8, 8, 9, 9, 9, 9])
    report = label_report(settled("cpa"), pids, modalities="RNT")
    assert report == {
        "labels/accuracy_R": 1.0,
        "labels/accuracy_N": 0.9,
        "labels/accuracy_T": 0.9,
        "labels/accuracy_F": 0.9,
        "labels/accuracy_settled": 0.9,
        "labels/accuracy_reliable": 1.0,
        "labels/reliable": 0.9,
        "labels/clusters_valid": 3.0,
    }


def test_a_cluster_without_a_reliable_sample_is_not_counted_as_valid():
    pseudo = settled("cpa")
    without = pseudo._replace(reliable=pseudo.reliable & (pseudo.labels != 1))
    assert label_report(without, np.zeros(10, int), modalities="RNT")["labels/clusters_valid"] == 2.0


def test_triples_without_a_label_count_in_no_accuracy():
    pids, pseudo = np.repeat(np.arange(2), 5), settled("cpa")
    known = np.arange(10) % 3 > 0
    part = pseudo._replace(
        labels=pseudo.labels[known], reliable=pseudo.reliable[known], aligned=pseudo.aligned[:, known]
    )
    expected = {k: v for k, v in label_report(part, pids[known], modalities="RNT").items() if "accuracy" in k}
    found = label_report(pseudo, np.where(known, pids, -1), modalities="RNT")
    assert {k: v for k, v in found.items() if "accuracy" in k} == expected


def test_without_any_label_no_accuracy_is_reported():
    assert set(label_report(settled("cpa"), np.full(10, -1), modalities="RNT")) == {
        "labels/reliable",
        "labels/clusters_valid",
    }
