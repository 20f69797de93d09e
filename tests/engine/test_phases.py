"""Between the epochs of adaptation: where labels come from, and which triples batches are made of."""

import jax
import numpy as np
import pytest

from man_jax.clustering.pseudo_labels import PseudoLabels
from man_jax.config import ConfigError
from man_jax.engine import phases, relabel
from man_jax.engine.extract import FeatureTable
from tests.engine.splits import new_domain
from tests.engine.tiny import NUM_SOURCE, NUM_TARGET, D, as_arrays, assert_same
from tests.engine.tiny import NUM_TRIPLES as N
from tests.oracles.cases import unit_normal


def target_columns(state) -> np.ndarray:
    return np.asarray(state.params["heads"]["fused"]["kernel"])[..., NUM_SOURCE:]


@pytest.mark.parametrize("epoch", [0, 1])
def test_each_relabelling_gives_the_heads_new_target_columns(setting, state, epoch):
    after, _, _ = phases.relabel(setting, state, epoch)
    assert not np.array_equal(target_columns(after), target_columns(state))


def test_the_oracle_keeps_its_heads_and_memory_after_the_first_epoch(setting, state):
    setting.config.adapt.labels = "truth"
    first, pseudo, _ = phases.relabel(setting, state, 0)
    later, _, _ = phases.relabel(setting, state, 1)
    assert_same(later.banks, first.banks)
    assert not np.array_equal(target_columns(first), target_columns(state))
    np.testing.assert_array_equal(target_columns(later), target_columns(state))
    np.testing.assert_array_equal(later.memory.labels, state.memory.labels)
    np.testing.assert_array_equal(pseudo.labels, setting.target.identities)


def test_without_the_oracle_true_identities_change_no_label(setting, state):
    _, pseudo, _ = phases.relabel(setting, state, 0)
    setting.target = new_domain(np.arange(N)[::-1])
    _, blind, _ = phases.relabel(setting, state, 0)
    np.testing.assert_array_equal(blind.labels, pseudo.labels)
    np.testing.assert_array_equal(blind.reliable, pseudo.reliable)


def test_each_domain_s_features_are_of_its_own_triples_and_with_its_own_statistics(setting, state):
    phases.relabel(setting, state, 0)
    assert [split for split, _ in setting.extracted] == [setting.target.data.train, setting.source.data.train]
    for (_, variables), domain in zip(setting.extracted, ("target", "source"), strict=True):
        assert variables["batch_stats"] is getattr(state.statistics, domain)
        assert variables["params"] is state.params


def test_the_target_is_evaluated_with_its_own_statistics(setting, state, monkeypatch):
    told = []
    monkeypatch.setattr(phases, "extract_query_gallery", lambda *arguments, **_: told.append(arguments))
    monkeypatch.setattr(phases, "retrieval_distances", lambda *_, **__: None)
    phases.distances_on_target(setting, state)
    ((_, variables, data),) = told
    assert variables["batch_stats"] is state.statistics.target
    assert data is setting.target.data


def test_the_us_protocol_reads_no_source(setting, state):
    setting.config.adapt.protocol = "us"
    del setting.source
    after, _, _ = phases.relabel(setting, state, 0)
    np.testing.assert_array_equal(after.banks.source.modal, state.banks.source.modal)
    assert not np.array_equal(after.banks.target.modal, state.banks.target.modal)


UNUSUAL = {
    "kmeans_init": 3,
    "kmeans_iterations": 7,
    "kmeans_tolerance": 1e-3,
    "labels": "fusion",
    "rule": "majority",
    "threshold": 0.6,
    "prototype_weights": "average",
    "temperature": 0.2,
    "head_norm": "unit",
}
"""For every key of the relabelling a value that is not its default."""


@pytest.fixture
def heard(monkeypatch) -> dict:
    """The keyword arguments that the parts of a relabelling are called with, all in one dictionary."""
    told: dict = {}

    def listen(module, name):
        part = getattr(module, name)

        def listening(*arguments, **keywords):
            told.update(keywords)
            return part(*arguments, **keywords)

        monkeypatch.setattr(module, name, listening)

    listen(relabel, "kmeans")
    for name in ("cluster_target", "settle_target", "make_bank", "begin_epoch"):
        listen(phases, name)
    return told


def test_every_key_of_the_relabelling_reaches_its_part(setting, state, heard):
    defaults = setting.config.adapt.to_dict()
    assert all(defaults[key] != value for key, value in UNUSUAL.items())
    setting.config.adapt.update(UNUSUAL)
    setting.config.seed = 11
    phases.relabel(setting, state, 4)
    names = {
        "kmeans_init": "num_init",
        "kmeans_iterations": "max_iterations",
        "kmeans_tolerance": "tolerance",
        "prototype_weights": "weights",
    }
    assert {key: heard[names.get(key, key)] for key in UNUSUAL} == UNUSUAL
    assert (heard["num_clusters"], heard["seed"], heard["epoch"]) == (NUM_TARGET, 11, 4)


def test_the_target_s_prototypes_are_those_of_its_reliable_triples_and_the_source_s_of_all(setting, state):
    setting.config.adapt.threshold = 0.2
    after, pseudo, _ = phases.relabel(setting, state, 0)
    assert 0 < pseudo.reliable.sum() < N
    kind = {"weights": "softmax", "temperature": 1.0}
    for name, labels, mask in (
        ("source", setting.source.identities, np.ones(N, bool)),
        ("target", pseudo.labels, pseudo.reliable),
    ):
        table = setting.tables[name]
        bank = getattr(after.banks, name)
        expected = relabel.make_bank(table, labels, num_classes=len(bank.valid), mask=mask, **kind)
        assert_same(bank, expected)


def test_no_reliable_triple_leaves_every_cluster_invalid_and_all_numbers_finite(setting, state):
    setting.config.adapt.threshold = 1.0
    after, pseudo, row = phases.relabel(setting, state, 0)
    assert not pseudo.reliable.any()
    assert not after.banks.target.valid.any()
    np.testing.assert_array_equal(target_columns(after), target_columns(state))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((as_arrays(after), row)))


@pytest.mark.parametrize("num_modalities", [1, 2])
def test_fewer_modalities_are_relabelled_alike(setting, num_modalities):
    rng = np.random.default_rng(1)
    table = FeatureTable(
        unit_normal(rng, num_modalities, N, D).astype(np.float32),
        unit_normal(rng, N, num_modalities * D).astype(np.float32),
    )
    pseudo = phases._pseudo_labels(setting, table, 0)
    possible = {1: {0, 1}, 2: {0, 1 / 3, 1}}[num_modalities]
    assert set(pseudo.scores.tolist()) <= possible
    assert pseudo.aligned.shape == (num_modalities + 1, N)


@pytest.mark.parametrize(("modalities", "present"), [((), None), (("T",), [1]), (("N", "T"), [0, 1])])
def test_the_modalities_at_test_are_the_branches_of_their_names(
    setting, state, monkeypatch, modalities, present
):
    told: dict = {}
    monkeypatch.setattr(phases, "retrieval_distances", lambda *_, **keywords: told.update(keywords))
    setting.config.model.modalities = ("N", "T")
    setting.config.evaluation.modalities = modalities
    monkeypatch.setattr(phases, "extract_query_gallery", lambda *_, **__: None)
    phases.distances_on_target(setting, state)
    assert told["present"] == present


def labelled(reliable: np.ndarray) -> PseudoLabels:
    labels = (np.arange(N) % NUM_TARGET).astype(np.int32)
    return PseudoLabels(labels, reliable, reliable.astype(float), np.stack([labels] * 4))


def test_reliable_sampling_draws_reliable_triples_only(setting):
    setting.config.adapt.sampling = "reliable"
    reliable = np.arange(N) < N // 2
    _, plan = phases.adaptation_plans(setting, labelled(reliable), 0)
    assert reliable[plan].all()


def test_sampling_all_draws_unreliable_triples_and_two_reliable_ones_where_the_cluster_has_them(setting):
    assert setting.config.adapt.sampling == "all"
    setting.config.adapt.iterations = 40
    reliable = np.isin(np.arange(N), [0, 6, 12, 1])  # three of cluster 0's four triples, one of cluster 1's
    _, plan = phases.adaptation_plans(setting, labelled(reliable), 0)
    groups = plan.reshape(-1, setting.config.batch.instances)
    assert set(np.unique(plan)) == set(range(N)) - {
        18
    }  # cluster 0's fourth has no place beside two reliable ones
    for group in groups:
        cluster = group[0] % NUM_TARGET
        assert reliable[group].sum() == {0: 2, 1: 1}.get(cluster, 0)


def test_too_few_clusters_to_sample_are_an_error_that_names_the_remedies(setting):
    setting.config.adapt.sampling = "reliable"
    with pytest.raises(ConfigError, match=r"epoch 5: 2 clusters.*config\.adapt\.threshold"):
        phases.adaptation_plans(setting, labelled(np.arange(N) < 2), 4)
