"""Between the epochs of adaptation: where labels come from, and which triples batches are made of."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from configs import default
from man_jax.alignment.pseudo_labels import PseudoLabels
from man_jax.config import ConfigError
from man_jax.engine import phases
from man_jax.engine.extract import FeatureTable
from man_jax.engine.optimizer import make_optimizer
from man_jax.engine.sharding import make_mesh
from tests.engine.splits import new_split
from tests.engine.tiny import NUM_SOURCE, NUM_TARGET, D, M, new_state
from tests.oracles.cases import unit_normal

N = 24


def domain(num_identities: int) -> SimpleNamespace:
    identities = (np.arange(N) % num_identities).astype(np.int32)
    return SimpleNamespace(
        identities=identities,
        num_identities=num_identities,
        data=SimpleNamespace(train=new_split(identities + 100)),
    )


@pytest.fixture
def setting(monkeypatch) -> SimpleNamespace:
    """Two domains whose features are the same at every call."""
    rng = np.random.default_rng(0)
    tables = {
        name: FeatureTable(
            unit_normal(rng, M, N, D).astype(np.float32), unit_normal(rng, N, M * D).astype(np.float32)
        )
        for name in ("source", "target")
    }
    monkeypatch.setattr(phases, "_features", lambda *arguments: tables[arguments[-1]])
    config = default.get_config()
    config.adapt.update(num_clusters=NUM_TARGET, iterations=3)
    config.batch.update(identities=3, instances=2)
    return SimpleNamespace(
        config=config,
        source=domain(NUM_SOURCE),
        target=domain(NUM_TARGET),
        num_target=NUM_TARGET,
        mesh=make_mesh(jax.devices()[:1]),
    )


@pytest.fixture(scope="module")
def state():
    return new_state(make_optimizer("adam", lambda _: 0.1, weight_decay=0.0))


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
    assert not np.array_equal(target_columns(first), target_columns(state))
    np.testing.assert_array_equal(target_columns(later), target_columns(state))
    np.testing.assert_array_equal(later.memory.labels, state.memory.labels)
    np.testing.assert_array_equal(pseudo.labels, setting.target.identities)


def test_without_the_oracle_true_identities_change_no_label(setting, state):
    _, pseudo, _ = phases.relabel(setting, state, 0)
    setting.target.identities = setting.target.identities[::-1]
    setting.target.data.train = new_split(np.arange(N))
    _, blind, _ = phases.relabel(setting, state, 0)
    np.testing.assert_array_equal(blind.labels, pseudo.labels)
    np.testing.assert_array_equal(blind.reliable, pseudo.reliable)


def test_the_us_protocol_reads_no_source(setting, state):
    setting.config.adapt.protocol = "us"
    del setting.source
    after, _, _ = phases.relabel(setting, state, 0)
    np.testing.assert_array_equal(after.banks.source.modal, state.banks.source.modal)
    assert not np.array_equal(after.banks.target.modal, state.banks.target.modal)


def labelled(reliable: np.ndarray) -> PseudoLabels:
    labels = (np.arange(N) % NUM_TARGET).astype(np.int32)
    return PseudoLabels(labels, reliable, reliable.astype(float), np.stack([labels] * 4))


def test_reliable_sampling_draws_reliable_triples_only(setting):
    setting.config.adapt.sampling = "reliable"
    reliable = np.arange(N) < N // 2
    _, plan = phases.adaptation_plans(setting, labelled(reliable), 0)
    assert reliable[plan].all()


def test_too_few_clusters_to_sample_are_an_error_that_names_the_remedies(setting):
    setting.config.adapt.sampling = "reliable"
    with pytest.raises(ConfigError, match=r"epoch 5: 2 clusters.*config\.adapt\.threshold"):
        phases.adaptation_plans(setting, labelled(np.arange(N) < 2), 4)
