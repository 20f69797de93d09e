"""SECRET: which samples the spaces keep, what each space learns and from whom, and who follows whom."""

import jax
import numpy as np
import pytest

from man_jax.engine.labelling import known_labels
from man_jax.engine.optimizer import make_optimizer
from man_jax.engine.state import begin_phase
from man_jax.frame import ByDomain, EpochFeatures, Labels
from man_jax.methods import secret as subject
from tests.methods.linear_model import NUM_TRIPLES, SPACE, linear_batch, seen
from tests.methods.part_model import normed_rows, part_frame, part_state, part_table, passed_parts
from tests.oracles import identity, memories, overlap, soft

KEY = jax.random.key(3)
FRAME = part_frame(**{"method": "secret", "adapt.num_clusters": 3, "secret.soft_identity": 0.3})
OPTIMIZER = make_optimizer("adam", lambda _: 0.1, weight_decay=0.0)
CLUSTERS = np.arange(NUM_TRIPLES, dtype=np.int32) % 3
CAMERAS = np.zeros(NUM_TRIPLES, np.int32)


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    with jax.enable_x64(True):
        yield


def new_state():
    """A state in which the student and the teacher differ."""
    state, other = (subject.start(FRAME, part_state(seed)) for seed in (0, 1))
    rng = np.random.default_rng(5)

    def with_heads(params):
        kernel = params["heads"]["parts"]["kernel"]
        return params | {"heads": {"parts": {"kernel": jax.numpy.asarray(rng.normal(size=kernel.shape))}}}

    teacher = other.slots.teacher | {"params": with_heads(other.slots.teacher["params"])}
    exists = np.stack([SPACE.exists(each) for each in (4, 3, 2)])
    return state.replace(
        params=with_heads(state.params),
        slots=state.slots._replace(teacher=teacher, exists=jax.numpy.asarray(exists)),
    )


def table(seed: int = 0):
    return part_table(seed, CLUSTERS, num_parts=2)


# --- labels


def test_a_triple_is_drawn_if_every_space_keeps_it(monkeypatch):
    rng = np.random.default_rng(1)
    found = rng.integers(0, 3, (3, NUM_TRIPLES)).astype(np.int32)
    found[:, :6] = CLUSTERS[:6]
    monkeypatch.setattr(subject, "cluster_tables", lambda rows, **_: found[: len(rows)])
    labels = subject.label(FRAME, new_state(), (table(),), CAMERAS, 0)
    kept = [overlap.keep_overlapping(found[a], found[b], 0.4) for a, b in ((0, 1), (0, 2), (1, 0), (2, 0))]
    whole = [a if a >= 0 and b >= 0 else -1 for a, b in zip(kept[0], kept[1], strict=True)]
    columns = np.column_stack([whole, kept[2], kept[3]])
    everywhere = np.all(columns >= 0, axis=1)
    assert 0 < everywhere.sum() < np.sum(columns[:, 0] >= 0) < NUM_TRIPLES
    np.testing.assert_array_equal(labels.labels[:, 0], np.where(everywhere, found[0], -1))
    np.testing.assert_array_equal(labels.labels[:, 1:], columns)
    np.testing.assert_array_equal(labels.weight, everywhere)


@pytest.mark.parametrize("clusters", ["kmeans", "dbscan"])
def test_each_space_is_clustered_by_its_own_features_after_the_teacher_s_necks(clusters):
    changes = {"secret.clusters": clusters, "secret.k1": 4, "secret.k2": 2, "secret.overlap": 0.0}
    frame = part_frame(**{"method": "secret", "adapt.num_clusters": 3, **changes})
    state, own = new_state(), table()
    pairs = part_table(1, CLUSTERS // 2, num_parts=2)  # the upper half tells only two clusters apart
    parts = np.stack([pairs.parts[0], own.parts[1]])
    labels = subject.label(frame, state, (own._replace(parts=parts),), CAMERAS, 0)
    for name, truth in (("F", CLUSTERS), ("lower", CLUSTERS)):
        assert len({*zip(labels.clusterings[name].tolist(), truth.tolist(), strict=True)}) == 3
    upper = labels.clusterings["upper"].tolist()
    assert len({*zip(upper, (CLUSTERS // 2).tolist(), strict=True)}) == len({*upper})
    teacher = state.slots.teacher
    rows = subject._spaces(own, teacher, "target")
    for part in range(2):
        running = teacher["statistics"].target["necks"]
        expected = normed_rows(own.parts[part], teacher["params"]["necks"], part, running).unit
        np.testing.assert_allclose(rows[part + 1], expected, atol=1e-9)


def test_with_dbscan_there_is_room_for_a_cluster_in_four_triples():
    config = part_frame(**{"secret.clusters": "dbscan"}).config
    assert subject.capacity(config, 40) == 10
    config.secret.capacity = 7
    assert subject.capacity(config, 40) == 7


# --- an epoch's beginning


def labels_of(columns: np.ndarray, *, continued: bool = False) -> Labels:
    weight = (columns[:, 0] >= 0).astype(np.float32)
    return Labels(columns.astype(np.int32), weight, int(columns.max()) + 1, continued)


@pytest.mark.parametrize("updates", [0, 5])
def test_all_heads_get_the_centres_of_their_space_and_the_parts_those_of_identities_at_first(updates):
    state = begin_phase(new_state(), OPTIMIZER)
    state = state.replace(
        opt_state=jax.tree.map(lambda leaf: leaf + 1, state.opt_state),
        slots=state.slots._replace(updates=np.int32(updates)),
    )
    columns = np.stack(
        [CLUSTERS, CLUSTERS, (CLUSTERS + 1) % 3, np.where(CLUSTERS == 2, -1, CLUSTERS)], axis=1
    )
    source, target = table(3), table(4)
    identities = known_labels(CLUSTERS)
    after = subject.begin_epoch(
        FRAME, state, EpochFeatures((source,), (target,)), ByDomain(identities, labels_of(columns))
    )
    teacher = state.slots.teacher
    rows = {
        domain: subject._spaces(each, teacher, domain)
        for domain, each in (("source", source), ("target", target))
    }
    for before, found in ((state.params, after.params), (teacher["params"], after.slots.teacher["params"])):
        heads = [
            (before["network"]["heads"]["fused"]["kernel"], found["network"]["heads"]["fused"]["kernel"])
        ]
        heads += list(zip(before["heads"]["parts"]["kernel"], found["heads"]["parts"]["kernel"], strict=True))
        for space, (old, new) in enumerate(heads):
            centres, there = memories.cluster_centres(rows["target"][space], columns[:, space + 1], 4)
            expected = np.where(there, centres.T, np.asarray(old)[:, 3:])
            np.testing.assert_allclose(np.asarray(new)[:, 3:], expected, atol=1e-6)
            expected = np.asarray(old)[:, :3]
            if space and not updates:
                expected = memories.cluster_centres(rows["source"][space], CLUSTERS, 3)[0].T
            np.testing.assert_allclose(np.asarray(new)[:, :3], expected, atol=1e-6)
    for path in (("network", "heads", "fused"), ("heads", "parts")):
        moments = after.opt_state[1].mu
        for name in path:
            moments = moments[name]
        assert np.all(np.asarray(moments["kernel"])[..., 3:] == 0)
        assert np.all(np.asarray(moments["kernel"])[..., :3] == 1)
    there = [[True] * 3, [True] * 3, [True, True, False]]
    np.testing.assert_array_equal(after.slots.exists, [[True] * 3 + each + [False] for each in there])


def test_under_the_us_protocol_no_identity_is_a_class_and_true_labels_go_on():
    state = begin_phase(new_state(), OPTIMIZER)
    labels = labels_of(CLUSTERS[:, None], continued=True)
    after = subject.begin_epoch(
        FRAME, state, EpochFeatures(None, (table(),)), ByDomain(known_labels(CLUSTERS), labels)
    )
    np.testing.assert_array_equal(after.slots.exists, [[False] * 3 + [True] * 3 + [False]] * 3)
    assert after.params is state.params


# --- the step


@pytest.mark.parametrize("protocol", ["uda", "us"])
@pytest.mark.parametrize("num_columns", [1, 4])
def test_each_space_learns_from_its_labels_and_from_the_teacher_s_answers(protocol, num_columns):
    state = new_state()
    source = linear_batch(4, [0, 0, 2, 2]) if protocol == "uda" else None
    target = linear_batch(5, [1, 1, 0, 0], weight=[1, 1, 1, 0.5])
    columns = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 2, 2], [1, 0, 1, 3]], np.int32)[:num_columns].T
    target = target.replace(labels=columns)
    value, change = subject.loss(FRAME, state.params, state, source, target, KEY)
    keys, teacher = jax.random.split(KEY, 2), state.slots.teacher
    expected: dict = {}

    def add(name, term):
        expected[name] = expected.get(name, 0.0) + float(term)

    def answers(params, batch, key):
        spaces = passed_parts(params, seen(batch.images, key), num_parts=2)
        kernels = np.asarray(params["heads"]["parts"]["kernel"])
        logits = [spaces[0].logits, *(s.normed @ k for s, k in zip(spaces[1:], kernels, strict=True))]
        return [(space.pooled, each) for space, each in zip(spaces, logits, strict=True)]

    for domain, batch, key in (("source", source, keys[0]), ("target", target, keys[1])):
        if batch is None:
            continue
        for space, (pooled, logits) in enumerate(answers(state.params, batch, key)):
            exists = np.asarray(state.slots.exists[space])
            labels = batch.labels[:, 0 if batch.labels.shape[1] == 1 else space + 1]
            labels = labels + (3 if domain == "target" else 0)
            weight = batch.weight * exists[labels]  # the last row's cluster of the lower half does not exist
            inside = np.where(exists[labels], labels, 0)
            hard = identity.smoothed_cross_entropy(logits, inside, exists=exists)
            add(f"identity_{domain}", np.sum(hard * weight) / weight.sum())
            add(f"triplet_{domain}", soft.softmax_triplet(pooled, labels, weight))
            if domain == "target":
                taught, answered = answers(teacher["params"], batch, key)[space]
                add("soft_identity", soft.soft_cross_entropy(logits, answered, exists, weight))
                add("soft_triplet", soft.soft_triplet(pooled, taught, labels, weight))
    assert {name: float(term) for name, term in change.terms.items()} == pytest.approx(expected)
    share = {"identity_target": 0.7, "soft_identity": 0.3, "triplet_target": 0.2, "soft_triplet": 0.8}
    total = sum(share.get(name, 1.0) * term for name, term in expected.items())
    assert float(value) == pytest.approx(total)
    moved = change.slots.teacher["statistics"]
    assert [int(each["network"]["passes"]) for each in moved] == [0, 1]
    assert [int(each["network"]["passes"]) for each in change.statistics] == [int(protocol == "uda"), 1]


@pytest.mark.parametrize("updates", [0, 3, 5000])
def test_the_teacher_follows_the_student_with_its_parts(updates):
    state = new_state()
    state = state.replace(slots=state.slots._replace(updates=np.int32(updates)))
    after = subject.after_update(FRAME, state)
    for path in (("network", "matrix"), ("heads", "parts", "kernel")):
        old, student, new = state.slots.teacher["params"], state.params, after.slots.teacher["params"]
        for name in path:
            old, student, new = old[name], student[name], new[name]
        expected = memories.moving_average(np.asarray(old), np.asarray(student), updates, 0.999)
        np.testing.assert_allclose(new, expected)
    assert int(after.slots.updates) == updates + 1


def test_the_teacher_is_tested():
    state = new_state()
    variables = subject.TEACHER.variables(state, "target")
    assert variables["params"] is state.slots.teacher["params"]["network"]
    assert variables["batch_stats"] is state.slots.teacher["statistics"].target["network"]
