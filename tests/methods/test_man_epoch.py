"""The start of MAN, and the start of its epochs: labels, banks, heads, the queue."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax.clustering.camera_statistics import standardise_by_camera
from man_jax.engine.optimizer import make_optimizer
from man_jax.frame import ByDomain, FeatureTable, Labels
from man_jax.methods import man
from man_jax.networks.heads import set_columns
from man_jax.randomness import epoch_key
from tests.engine.tiny import (
    MEMORY,
    NUM_SOURCE,
    NUM_TARGET,
    SPACE,
    D,
    M,
    as_arrays,
    assert_same,
    new_frame,
    new_state,
)
from tests.engine.tiny import NUM_TRIPLES as N
from tests.oracles import prototypes as oracle
from tests.oracles import pseudo_labels as cpa
from tests.oracles.cases import unit_normal
from tests.oracles.precision import SINGLE, assert_close

CAMERAS = np.arange(N, dtype=np.int32) % 2


def new_table(seed: int, num_modalities: int = M) -> FeatureTable:
    rng = np.random.default_rng(seed)
    modal, fused = unit_normal(rng, num_modalities, N, D), unit_normal(rng, N, num_modalities * D)
    pooled = unit_normal(rng, num_modalities, N, D)
    return FeatureTable(*(each.astype(np.float32) for each in (modal, fused, pooled)))


# --- when adaptation begins


def test_there_is_room_for_the_k_of_k_means_however_many_triples_there_are():
    assert man.capacity(new_frame(**{"adapt.num_clusters": 17}).config, 1000) == 17


@pytest.mark.parametrize(("size", "entries"), [(0, 2 * N), (31, 31)])
def test_man_begins_with_empty_banks_and_a_queue_of_all_triples_or_of_the_size_that_is_told(
    state, size, entries
):
    plain = {"man.aligned": "normed", "man.across_epochs": "renewed"}
    after = man.start(new_frame(**plain, **{"man.memory_size": size}), state.replace(slots=()))
    banks, queue, exists, *others = after.slots
    assert others == [None] * len(others)  # what only some keys ask for
    for bank, num_classes in zip(banks, (NUM_SOURCE, NUM_TARGET), strict=True):
        assert (bank.modal.shape, bank.fused.shape) == ((M, num_classes, D), (num_classes, M * D))
        np.testing.assert_array_equal(bank.valid, np.zeros(num_classes, bool))
    np.testing.assert_array_equal(queue.labels, np.full(entries, -1))
    assert queue.features.shape == (entries, M * D)
    assert exists is None  # k is given, and fills the room for clusters
    assert_same(after.replace(slots=()), state.replace(slots=()))


def test_nothing_follows_the_update(state):
    assert man.after_update(new_frame(), state) is state


def test_man_begins_with_what_its_keys_ask_for(state):
    keys = {"man.aligned": "pooled", "man.across_epochs": "continued", "man.teacher": 0.9}
    frame = new_frame(**keys)
    slots = man.start(frame, state.replace(slots=())).slots
    assert_same(slots.aligned, slots.banks)
    np.testing.assert_array_equal(slots.last, np.full(N, -1))
    assert int(slots.updates) == 0
    assert_same(slots.teacher, {"params": state.params, "statistics": state.statistics})
    assert man.networks(frame.config)[0].variables(state.replace(slots=slots), "target") == {
        "params": state.params,
        "batch_stats": state.statistics.target,
    }


@pytest.mark.parametrize("keys", [{"man.teacher": 0.75}, {"man.identity_target": "ramp"}])
@pytest.mark.parametrize("steps", [0, 2, 50])
def test_the_teacher_follows_the_network_after_each_update_and_steps_are_counted(state, keys, steps):
    frame = new_frame(**keys)
    begun = man.start(frame, state.replace(slots=()))
    begun = begun.replace(
        params=jax.tree.map(lambda leaf: leaf + 1, state.params),
        slots=begun.slots._replace(updates=jnp.int32(steps)),
    )
    after = man.after_update(frame, begun)
    assert int(after.slots.updates) == steps + 1
    if "man.teacher" in keys:
        share = min(1 - 1 / (steps + 1), 0.75)
        old, new = (np.asarray(each["heads"]["fused"]["kernel"]) for each in (state.params, begun.params))
        moved = after.slots.teacher["params"]["heads"]["fused"]["kernel"]
        np.testing.assert_allclose(moved, share * old + (1 - share) * new, rtol=1e-6)
        assert_same(after.slots.teacher["statistics"], state.statistics)
    else:
        assert after.slots.teacher is None


# --- labels


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
OUTVOTED = np.vstack([np.where(np.arange(10) == 9, CLUSTERS[:3, -2:-1], CLUSTERS[:3]), CLUSTERS[3:]])
"""The same, but R, N and T agree on the last sample, and the fusion says another."""


@pytest.fixture
def settled(monkeypatch, state):
    """The labels that MAN makes of clusterings."""

    def settle(clusters=CLUSTERS, state=state, **changes) -> Labels:
        monkeypatch.setattr(man, "cluster_tables", lambda *_, **__: clusters)
        frame = new_frame(**{"adapt.num_clusters": 3} | changes)
        return man.label(frame, state, (new_table(0),), CAMERAS, 0)

    return settle


def test_cpa_trusts_what_the_modalities_agree_on(settled):
    labels = settled()
    np.testing.assert_array_equal(labels.labels, CLUSTERS[3:].T, strict=True)
    np.testing.assert_array_equal(labels.weight, (np.arange(10) < 9).astype(np.float32), strict=True)
    assert labels.num_clusters == 3
    assert not labels.continued


def test_the_clusterings_have_the_names_of_their_modalities_and_one_numbering(settled):
    clusterings = settled().clusterings
    assert list(clusterings) == ["R", "N", "T", "F"]
    for row in clusterings.values():
        np.testing.assert_array_equal(row[:9], CLUSTERS[3, :9])
    assert [row[9] for row in clusterings.values()] == [2, 0, 1, 0]


def test_the_threshold_says_how_much_agreement_is_enough(settled):
    assert (settled(**{"man.threshold": 0.1}).weight > 0).all()


def test_the_rule_says_whose_label_wins(settled):
    fused, majority = (settled(OUTVOTED, **{"man.rule": rule}) for rule in ("fusion_vote", "majority"))
    assert fused.labels[-1, 0] == CLUSTERS[3, -1]
    assert majority.labels[-1, 0] == CLUSTERS[3, -2]
    assert [labels.weight[-1] for labels in (fused, majority)] == [0, 1]


@pytest.mark.parametrize("rule", man.KEYS["rule"].choices)
def test_fusion_labels_are_the_plain_clusters_of_the_fusion_and_all_reliable(settled, rule):
    labels = settled(OUTVOTED, **{"man.labels": "fusion", "man.rule": rule})
    np.testing.assert_array_equal(labels.labels[:, 0], CLUSTERS[3])
    assert (labels.weight == 1).all()


def test_k_means_is_of_every_table_by_its_keys_and_a_key_of_the_seed_and_the_epoch(monkeypatch, state):
    heard: dict = {}

    def listening(tables, **settings):
        heard.update(settings, tables=tables)
        return CLUSTERS

    monkeypatch.setattr(man, "cluster_tables", listening)
    values = {"num_clusters": 3, "kmeans_init": 4, "kmeans_iterations": 7, "kmeans_tolerance": 0.25}
    table = new_table(7)
    man.label(
        new_frame(seed=11, **{f"adapt.{name}": value for name, value in values.items()}),
        state,
        (table,),
        CAMERAS,
        5,
    )
    for told, wanted in zip(heard.pop("tables"), [*table.modal, table.fused], strict=True):
        np.testing.assert_array_equal(told, wanted)
    np.testing.assert_array_equal(*map(jax.random.key_data, (heard.pop("key"), epoch_key(11, "kmeans", 5))))
    assert heard == {"num_clusters": 3, "num_init": 4, "max_iterations": 7, "tolerance": 0.25}


def test_the_features_of_each_camera_are_standardised_before_clustering_if_so_wished(monkeypatch, state):
    heard: list = []
    monkeypatch.setattr(man, "cluster_tables", lambda tables, **_: heard.append(tables) or CLUSTERS)
    cameras, table = np.arange(N, dtype=np.int32) % 2, new_table(3)
    man.label(
        new_frame(**{"adapt.num_clusters": 3, "man.cameras": "standardised"}), state, (table,), cameras, 0
    )
    modal, fused = standardise_by_camera(table.modal, cameras)
    for told, wanted in zip(heard[0], [*modal, fused], strict=True):
        np.testing.assert_array_equal(told, wanted)


def test_labels_depend_on_the_seed_and_the_epoch_alone(state):
    def label(seed: int, epoch: int, cameras=CAMERAS):
        return man.label(new_frame(seed=seed), state, (new_table(8),), cameras, epoch).clusterings["F"]

    first = label(0, 3)
    np.testing.assert_array_equal(label(0, 3, CAMERAS[::-1]), first)
    assert not np.array_equal(label(0, 4), first)
    assert not np.array_equal(label(1, 3), first)


@pytest.mark.parametrize("modalities", [("N",), ("R", "T")])
def test_fewer_modalities_are_labelled_alike(modalities, state):
    frame, table = new_frame(**{"model.modalities": modalities}), new_table(9, len(modalities))
    labels = man.label(frame, state, (table,), CAMERAS, 0)
    assert list(labels.clusterings) == [*modalities, "F"]
    votes = zip(*labels.clusterings.values(), strict=True)
    settled = [cpa.settle(each, "fusion_vote", 0.4) for each in votes]
    np.testing.assert_array_equal(labels.labels[:, 0], [label for label, _ in settled])
    np.testing.assert_array_equal(labels.weight > 0, [reliable for _, reliable in settled])


# --- the beginning of an epoch


TABLES = ByDomain((new_table(1),), (new_table(2),))
IDENTITIES = (np.arange(N) % NUM_SOURCE).astype(np.int32)
SETTLED = (np.arange(N) % NUM_TARGET).astype(np.int32)
RELIABLE = (SETTLED != 1) & (np.arange(N) % 4 > 0)
LABELS = ByDomain(
    Labels(IDENTITIES[:, None], np.ones(N, np.float32), NUM_SOURCE, continued=True),
    Labels(SETTLED[:, None], RELIABLE.astype(np.float32), NUM_TARGET),
)


@pytest.fixture(scope="module")
def state():
    """A state amid training, its moments all ones."""
    state = new_state(make_optimizer("adam", lambda _: 0.1, weight_decay=0.0))
    return state.replace(opt_state=jax.tree.map(jnp.ones_like, state.opt_state))


def test_clusters_that_match_those_of_the_last_epoch_go_on_under_their_number(settled, state):
    last = np.array([2, 2, 2, 0, 0, 0, 1, 1, 0, 0], np.int32)  # F says 0, 0, 0, 1, 1, 1, 2, 2, 2, 0
    before = state.replace(slots=state.slots._replace(last=jnp.asarray(last)))
    found = settled(state=before)
    np.testing.assert_array_equal(found.labels[:, 0], [2, 2, 2, 0, 0, 0, 1, 1, 1, 2])
    np.testing.assert_array_equal(np.flatnonzero(found.continued), [0, 1, 2])
    np.testing.assert_array_equal(found.weight, settled().weight)


def test_the_score_is_the_weight_of_a_sample_if_so_wished(settled):
    weight = settled(**{"man.reliability": "score"}).weight
    np.testing.assert_allclose(weight, np.where(np.arange(10) == 9, 1 / 6, 1), rtol=1e-6)


def begun(state, *, tables=TABLES, target: Labels = LABELS.target, **changes):
    return as_arrays(man.begin_epoch(new_frame(**changes), state, tables, LABELS._replace(target=target)))


@pytest.fixture(scope="module")
def after(state):
    return begun(state)


@pytest.mark.parametrize("weights", ["softmax", "average"])
def test_the_target_s_prototypes_are_those_of_its_reliable_triples_and_the_source_s_of_all(state, weights):
    kind = {"weights": weights, "temperature": 0.2}
    banks = begun(state, **{"man.prototype_weights": weights, "man.temperature": 0.2}).slots.banks
    rows = ((IDENTITIES, np.ones(N, bool)), (SETTLED, RELIABLE))
    for bank, (table,), (labels, mask) in zip(banks, TABLES, rows, strict=True):
        for actual, features in zip([*bank.modal, bank.fused], [*table.modal, table.fused], strict=True):
            expected, valid = oracle.class_prototypes(features[mask], labels[mask], len(bank.valid), **kind)
            assert_close(actual, expected, SINGLE)
            np.testing.assert_array_equal(bank.valid, valid)
    assert not banks.target.valid.all()


@pytest.mark.parametrize("norm", ["matched", "unit"])
def test_the_heads_get_the_target_s_prototypes_as_columns(state, norm):
    after = begun(state, **{"man.head_norm": norm})
    bank = after.slots.banks.target
    expected = set_columns(
        state.params["heads"], bank.modal, bank.fused, first=NUM_SOURCE, valid=bank.valid, norm=norm
    )
    assert_same(after.params["heads"], expected)
    assert not np.array_equal(target_columns(after), target_columns(state))


def target_columns(state) -> np.ndarray:
    return np.asarray(state.params["heads"]["fused"]["kernel"])[..., NUM_SOURCE:]


def test_the_moments_of_the_target_s_columns_are_forgotten_and_all_others_stay(after):
    for path, leaf in jax.tree_util.tree_leaves_with_path(after.opt_state):
        expected = np.ones_like(leaf)
        if "'heads'" in jax.tree_util.keystr(path):
            expected[..., NUM_SOURCE:] = 0
        np.testing.assert_array_equal(leaf, expected, err_msg=jax.tree_util.keystr(path))


def test_the_queue_forgets_clusters_and_keeps_identities(state, after):
    old, new = state.slots.queue, after.slots.queue
    labels = np.asarray(old.labels)
    assert (labels >= NUM_SOURCE).any()
    np.testing.assert_array_equal(new.labels, np.where(labels >= NUM_SOURCE, -1, labels))
    np.testing.assert_array_equal(new.features, old.features)
    assert len(labels) == MEMORY


def test_the_rest_of_the_state_stays(state, after):
    for part in ("step", "key", "statistics"):
        assert_same(getattr(after, part), getattr(state, part))
    assert_same(after.params["branches"], state.params["branches"])


@pytest.mark.parametrize("number", [NUM_TARGET, NUM_TARGET - 2])
def test_the_classes_that_exist_are_those_of_the_epoch(state, number):
    few = LABELS.target._replace(labels=(SETTLED % number)[:, None], num_clusters=number)
    np.testing.assert_array_equal(begun(state, target=few).slots.exists, SPACE.exists(number))


def test_labels_that_go_on_leave_heads_moments_and_queue_as_they_were_but_the_banks_are_new(state, after):
    later = begun(state, target=LABELS.target._replace(continued=True))
    assert_same(later.slots.banks, after.slots.banks)
    assert_same(later.slots.exists, after.slots.exists)
    assert_same(later.slots.queue, state.slots.queue)
    for part in ("params", "opt_state", "statistics"):
        assert_same(getattr(later, part), getattr(state, part))


def test_clusters_that_go_on_keep_columns_moments_and_entries_and_the_others_are_new(state, after):
    kept = np.arange(NUM_TARGET) % 2 == 0
    later = begun(state, target=LABELS.target._replace(continued=kept))
    np.testing.assert_array_equal(
        target_columns(later), np.where(kept, target_columns(state), target_columns(after))
    )
    for path, leaf in jax.tree_util.tree_leaves_with_path(later.opt_state):
        if "'heads'" in jax.tree_util.keystr(path):
            np.testing.assert_array_equal(
                leaf[..., NUM_SOURCE:], np.broadcast_to(kept, leaf.shape[:-1] + kept.shape)
            )
    labels = np.asarray(state.slots.queue.labels)
    forgotten = (labels >= NUM_SOURCE) & ~kept[np.clip(labels - NUM_SOURCE, 0, None)]
    assert 0 < forgotten.sum() < (labels >= NUM_SOURCE).sum()
    np.testing.assert_array_equal(later.slots.queue.labels, np.where(forgotten, -1, labels))


def test_pda_and_mma_get_prototypes_of_the_features_before_the_neck_if_so_wished(state):
    there = state.replace(slots=state.slots._replace(aligned=state.slots.banks))
    banks = begun(there).slots
    for bank, (table,), known in zip(banks.aligned, TABLES, LABELS, strict=True):
        labels, mask = known.labels[:, 0], known.weight > 0
        for actual, rows in zip(bank.modal, table.pooled, strict=True):
            kind = {"weights": "softmax", "temperature": 1.0}
            expected, _ = oracle.class_prototypes(rows[mask], labels[mask], len(bank.valid), **kind)
            assert_close(actual, expected, SINGLE)
    assert_same(banks.banks, begun(state).slots.banks)


def test_the_labels_of_an_epoch_are_known_in_the_next_one(state):
    there = state.replace(slots=state.slots._replace(last=jnp.full(N, -1)))
    np.testing.assert_array_equal(begun(there).slots.last, SETTLED)


def test_without_features_of_the_source_its_bank_stays_and_the_target_s_is_new(state, after):
    alone = begun(state, tables=TABLES._replace(source=None))
    assert_same(alone.slots.banks.source, state.slots.banks.source)
    assert_same(alone.slots.banks.target, after.slots.banks.target)


def test_no_reliable_triple_leaves_every_cluster_invalid_and_all_numbers_finite(state):
    nobody = LABELS.target._replace(weight=np.zeros(N, np.float32))
    after = begun(state, target=nobody)
    assert not after.slots.banks.target.valid.any()
    np.testing.assert_array_equal(target_columns(after), target_columns(state))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after))
