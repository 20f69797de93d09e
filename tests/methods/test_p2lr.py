"""P2LR: which samples are learnt from, what the students are taught, and who follows whom."""

import jax
import numpy as np
import pytest

from man_jax.config import ConfigError
from man_jax.engine.labelling import known_labels
from man_jax.engine.optimizer import make_optimizer
from man_jax.engine.state import begin_phase
from man_jax.frame import ByDomain, EpochFeatures, FeatureTable
from man_jax.methods import p2lr as subject
from man_jax.randomness import other_key
from tests.methods.linear_model import (
    NUM_TRIPLES,
    SPACE,
    D,
    M,
    linear_batch,
    linear_frame,
    linear_state,
    passed,
    seen,
)
from tests.oracles import identity, memories, soft, uncertainty
from tests.oracles.cases import unit_normal

KEY = jax.random.key(3)
EPOCHS = 5
OWN = {"method": "p2lr", "adapt.num_clusters": 3, "adapt.epochs": EPOCHS}
FRAME = linear_frame(**OWN, **{"p2lr.soft_identity": 0.3})
OPTIMIZER = make_optimizer("adam", lambda _: 0.1, weight_decay=0.0)
CLUSTERS = np.arange(NUM_TRIPLES, dtype=np.int32) % 3
CAMERAS = np.zeros(NUM_TRIPLES, np.int32)
NAMES = ("first", "second")


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    with jax.enable_x64(True):
        yield


def new_state():
    """A state in which all four networks are others."""
    state = subject.start(FRAME, linear_state())
    students = {name: linear_state(seed).params for seed, name in enumerate(NAMES)}
    teachers = {
        name: {**state.slots.teachers[name], "params": linear_state(seed + 2).params}
        for seed, name in enumerate(NAMES)
    }
    slots = state.slots._replace(teachers=teachers, exists=SPACE.exists(3))
    return state.replace(params=students, slots=slots)


def tables() -> tuple[FeatureTable, ...]:
    """Both teachers' features, in which some samples are far from the middle of their cluster."""
    rng = np.random.default_rng(0)
    found = []
    for _ in NAMES:
        modal = unit_normal(rng, M, 3, D)[:, CLUSTERS] + 0.4 * rng.normal(size=(M, NUM_TRIPLES, D))
        modal /= np.linalg.norm(modal, axis=-1, keepdims=True)
        found.append(FeatureTable(modal, np.concatenate(list(modal), axis=1) / np.sqrt(M), modal))
    return tuple(found)


def mean_features() -> np.ndarray:
    mean = sum(table.fused for table in tables())
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


# --- the labels


@pytest.mark.parametrize("epoch", [0, 2, EPOCHS - 1])
def test_an_epoch_learns_from_the_share_of_the_samples_that_is_least_uncertain(epoch):
    found = subject.label(FRAME, linear_state(), tables(), CAMERAS, epoch)
    drawn, clusters = found.labels.T
    mean = mean_features()
    centres, _ = memories.cluster_centres(mean, clusters, 3)
    share = uncertainty.selected_share(epoch / (EPOCHS - 1), 0.3, 1.5)
    values = uncertainty.label_uncertainty(mean, centres, clusters, 20, 0.99)
    expected = uncertainty.least_uncertain(values, int(share * NUM_TRIPLES + 1e-6))
    assert set(np.flatnonzero(drawn >= 0)) == expected
    np.testing.assert_array_equal(drawn[drawn >= 0], clusters[drawn >= 0])
    np.testing.assert_array_equal(found.weight, drawn >= 0)
    np.testing.assert_array_equal(found.clusterings["F"], clusters)


def test_all_samples_are_learnt_from_in_the_last_epoch_and_few_in_an_only_one():
    assert np.all(subject.label(FRAME, linear_state(), tables(), CAMERAS, EPOCHS - 1).weight == 1)
    once = subject.label(linear_frame(**OWN | {"adapt.epochs": 1}), linear_state(), tables(), CAMERAS, 0)
    assert once.weight.sum() == int(0.3 * NUM_TRIPLES)


def test_a_share_too_small_for_a_batch_is_refused_before_anything_is_done():
    frame = linear_frame(**OWN, **{"p2lr.first_share": 0.01})
    with pytest.raises(
        ConfigError, match=r"p2lr.first_share is 0.01, which selects 3 of .*batch.identities is 4"
    ):
        subject.capacity(frame.config, 300)
    assert subject.capacity(frame.config, 400) == 3


# --- an epoch's beginning


@pytest.mark.parametrize("continued", [False, True])
def test_the_columns_are_the_centres_of_whole_clusters_selected_or_not(continued):
    state = begin_phase(new_state(), OPTIMIZER)
    labels = subject.label(FRAME, state, tables(), CAMERAS, 0)._replace(continued=continued)
    after = subject.begin_epoch(
        FRAME, state, EpochFeatures(None, tables()), ByDomain(known_labels(CLUSTERS), labels)
    )
    centres, _ = memories.cluster_centres(mean_features(), labels.labels[:, 1], 3)
    networks = [(state.params[name], after.params[name]) for name in NAMES]
    networks += [
        (state.slots.teachers[name]["params"], after.slots.teachers[name]["params"]) for name in NAMES
    ]
    for before, found in networks:
        old, new = (np.asarray(each["heads"]["fused"]["kernel"]) for each in (before, found))
        np.testing.assert_array_equal(new[:, :3], old[:, :3])
        np.testing.assert_allclose(new[:, 3:6], old[:, 3:6] if continued else centres.T, atol=1e-6)
    np.testing.assert_array_equal(after.slots.exists, [True] * 6 + [False])


# --- the step


@pytest.mark.parametrize("protocol", ["uda", "us"])
def test_each_student_learns_from_the_labels_and_from_the_mean_of_both_teachers(protocol):
    state = new_state()
    source = linear_batch(4, [0, 0, 2, 2]) if protocol == "uda" else None
    target = linear_batch(5, [1, 1, 0, 0], weight=[1, 1, 1, 0])
    value, change = subject.loss(FRAME, state.params, state, source, target, KEY)
    exists, labels, weight = np.asarray(state.slots.exists), target.labels[:, 0] + 3, target.weight
    keys = {"first": jax.random.split(KEY, 2), "second": jax.random.split(other_key(KEY, "second view"), 2)}
    taught = [
        passed(state.slots.teachers[name]["params"], seen(target.images, keys[name][1])) for name in NAMES
    ]
    logits, pooled = (sum(getattr(each, part) for each in taught) / 2 for part in ("logits", "pooled"))
    expected = {}
    for name in NAMES:
        student = passed(state.params[name], seen(target.images, keys[name][1]))
        hard = identity.smoothed_cross_entropy(student.logits, labels, exists=exists)
        expected |= {
            f"identity_target_{name}": float(np.sum(hard * weight) / weight.sum()),
            f"triplet_target_{name}": soft.softmax_triplet(student.pooled, labels, weight),
            f"soft_identity_{name}": soft.soft_cross_entropy(student.logits, logits, exists, weight),
            f"soft_triplet_{name}": soft.soft_triplet(student.pooled, pooled, labels, weight),
        }
        if source is not None:
            student, known = (
                passed(state.params[name], seen(source.images, keys[name][0])),
                source.labels[:, 0],
            )
            hard = identity.smoothed_cross_entropy(student.logits, known, exists=exists)
            expected[f"identity_source_{name}"] = float(np.mean(hard))
            expected[f"triplet_source_{name}"] = soft.softmax_triplet(student.pooled, known, source.weight)
    assert {term: float(found) for term, found in change.terms.items()} == pytest.approx(expected)
    share = {"identity_target": 0.7, "soft_identity": 0.3, "triplet_target": 0.2, "soft_triplet": 0.8}
    total = sum(share.get(term.rsplit("_", 1)[0], 1.0) * found for term, found in expected.items())
    assert float(value) == pytest.approx(total)


@pytest.mark.parametrize("updates", [0, 5000])
def test_a_teacher_follows_its_own_student(updates):
    state = new_state()
    state = state.replace(slots=state.slots._replace(updates=np.int32(updates)))
    after = subject.after_update(FRAME, state)
    for name in NAMES:
        teacher = np.asarray(state.slots.teachers[name]["params"]["matrix"])
        expected = memories.moving_average(teacher, np.asarray(state.params[name]["matrix"]), updates, 0.999)
        np.testing.assert_allclose(after.slots.teachers[name]["params"]["matrix"], expected)
    assert int(after.slots.updates) == updates + 1


def test_the_first_teacher_is_tested():
    state = new_state()
    variables = subject.networks(FRAME.config)[0].variables(state, "target")
    assert variables["params"] is state.slots.teachers["first"]["params"]
