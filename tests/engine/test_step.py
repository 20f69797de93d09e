"""The step as a whole. Its losses one by one have tests and oracles of their own under objectives and alignment.

All in double precision: in single, a rounding can turn a ReLU or a maximum, and a gradient with it.
"""

import contextlib

import jax
import numpy as np
import pytest
from man_jax.objectives.total import Objective

from man_jax.engine.augment import Augmentation, Normalization, normalize
from man_jax.engine.optimizer import make_optimizer
from man_jax.engine.step import Batch, StepSettings, make_step, move_bank
from man_jax.sharding import make_mesh, put_batch, put_replicated
from tests.engine.tiny import (
    MEMORY,
    MODEL,
    NUM_SOURCE,
    NUM_TARGET,
    QUICKLY,
    B,
    as_arrays,
    assert_same,
    in_double,
    new_batch,
    new_state,
)
from tests.oracles import modality as modality_oracle
from tests.oracles import prototypes as oracle

RATE, MOMENTUM = 0.05, 0.9
# SGD: Adam divides a gradient by its own size, and would make as much of rounding as of a gradient.
OPTIMIZER = make_optimizer("sgd", lambda _: RATE, weight_decay=1e-4)
OBJECTIVE = Objective(alpha=1.7, beta=0.3, memory_weight=0.6)
AS_THEY_ARE = Augmentation(flip=0.0, pad=0, erase=0.0)
HALF = np.arange(B) % 2 == 0
"""One of each cluster's two triples is reliable."""


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    # Each program runs a few times on next to nothing: to optimise it takes longer than to run it.
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    with jax.enable_x64(True):
        yield
    jax.config.update("jax_disable_most_optimizations", before)


class Machine:
    """The step on a number of devices; states are copied before they are given away."""

    def __init__(
        self, num_devices: int, augmentation: Augmentation, *, objective: Objective = OBJECTIVE, **settings
    ):
        self.mesh = make_mesh(jax.devices()[:num_devices])
        settings = StepSettings(augmentation=augmentation, momentum=MOMENTUM, **settings)
        self.step = make_step(MODEL, OPTIMIZER, objective, settings, self.mesh)

    def __call__(self, state, *batches: Batch | None):
        """(state, terms) after one step, as NumPy arrays."""
        return as_arrays(self.run(state, *batches))

    def run(self, state, *batches: Batch | None):
        placed = [batch and Batch(*put_batch(tuple(batch), self.mesh)) for batch in batches]
        return self.step(put_replicated(state, self.mesh), *placed)


@pytest.fixture(scope="module")
def machine() -> Machine:
    """All eight devices; images are only normalised, so that features can be had without the step's keys."""
    return Machine(8, AS_THEY_ARE)


@pytest.fixture(scope="module")
def state():
    return in_double(new_state(OPTIMIZER))


@pytest.fixture(scope="module")
def source() -> Batch:
    return new_batch(1, NUM_SOURCE)


@pytest.fixture(scope="module")
def target() -> Batch:
    return new_batch(2, NUM_TARGET, reliable=HALF)


@pytest.fixture(scope="module")
def stepped(machine, state, source, target):
    return machine(state, source, target)


@pytest.fixture(scope="module")
def features(state):
    """The network's features in training mode, before the update, as a function of a batch."""

    def run(variables, images):
        return MODEL.features(variables, normalize(images, Normalization()), train=True)[0]

    compiled = jax.jit(run, compiler_options=QUICKLY)
    return lambda batch: jax.tree.map(np.asarray, compiled(state.variables("source"), batch.images))


def assert_close(actual, expected, rtol: float = 1e-8, atol: float = 1e-9) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), actual, expected)


# --- devices, compilations, purity


@pytest.mark.parametrize("part", ["params", "statistics", "opt_state", "banks", "memory", "terms"])
def test_eight_devices_compute_what_one_does(one_device, stepped, part):
    def of(result):
        return result[1] if part == "terms" else getattr(result[0], part)

    assert_close(of(stepped), of(one_device))


@pytest.fixture(scope="module")
def one_device(state, source, target):
    return Machine(1, AS_THEY_ARE)(state, source, target)


@contextlib.contextmanager
def compilations():
    """Grows by one name with every program that XLA is asked for."""
    seen: list[str] = []

    def listen(event: str, duration_secs: float, **details) -> None:
        del duration_secs
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(str(details.get("fun_name", event)))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_the_step_is_compiled_once_whatever_the_clusters(machine, state, stepped):
    del stepped  # the one compilation
    cases = [HALF, np.zeros(B, bool), np.ones(B, bool)]
    batches = [(new_batch(i, NUM_SOURCE), new_batch(i, NUM_TARGET, reliable=r)) for i, r in enumerate(cases)]
    placed = [[Batch(*put_batch(tuple(b), machine.mesh)) for b in pair] for pair in batches]
    state = put_replicated(state, machine.mesh)
    with compilations() as programs:
        for pair in placed:
            state, _ = machine.step(state, *pair)
    assert programs == []


def test_a_compilation_is_noticed():
    with compilations() as programs:
        jax.jit(lambda x: x * 3.25)(np.ones(7, np.float32))
    assert programs


def test_the_same_inputs_give_the_same_bits(machine, state, source, target, stepped):
    assert_same(machine(state, source, target), stepped)


def test_the_step_is_counted_and_the_key_kept(state, stepped):
    after, _ = stepped
    before = as_arrays(state)
    assert after.step == before.step + 1
    np.testing.assert_array_equal(after.key, before.key)


def test_a_state_keeps_its_structure_shapes_and_types(state, stepped):
    before, after = as_arrays(state), stepped[0]
    describe = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree) for tree in (before, after)]
    assert describe[0] == describe[1]


# --- the loss


def test_the_total_is_the_weighted_sum_of_eq_23(stepped):
    terms = {name: float(value) for name, value in stepped[1].items()}
    total = terms.pop("total")
    alignment = 1.7 * (terms.pop("domain_intra") + terms.pop("domain_inter")) + 0.3 * terms.pop("modality")
    cross_batch = 0.6 * terms.pop("memory")
    reid = {f"{name}_{domain}" for name in ("identity", "triplet") for domain in ("source", "target")}
    assert set(terms) == reid
    assert total == pytest.approx(sum(terms.values()) + cross_batch + alignment, rel=1e-9)


def test_a_step_lowers_the_loss_of_its_batch(machine, state, stepped, source, target):
    after, terms = stepped
    moved = state.replace(params=after.params, opt_state=after.opt_state)
    assert machine(moved, source, target)[1]["total"] < terms["total"]


def test_each_domain_is_normalised_by_its_own_batch(machine, state, source, target, stepped):
    other = new_batch(7, NUM_TARGET, reliable=HALF)
    _, terms = machine(state, source, target._replace(images=other.images))
    for name in ("identity_source", "triplet_source"):
        assert terms[name] == stepped[1][name]
    assert terms["identity_target"] != stepped[1]["identity_target"]


def test_each_domain_has_running_statistics_of_its_own(state, source, target, features, stepped):
    for domain, batch in (("source", source), ("target", target)):
        before = np.asarray(neck_mean(state, domain))
        moved = 0.9 * before + 0.1 * features(batch).pooled.mean(axis=1)
        assert_close(neck_mean(stepped[0], domain), moved)


def test_shared_running_statistics_take_in_the_source_and_then_the_target(state, source, target, features):
    after, _ = Machine(1, AS_THEY_ARE, statistics="shared")(state, source, target)
    moved = np.asarray(neck_mean(state, "source"))
    for batch in (source, target):
        moved = 0.9 * moved + 0.1 * features(batch).pooled.mean(axis=1)
    assert_close(neck_mean(after, "source"), moved)
    assert_close(neck_mean(after, "target"), moved)


def neck_mean(state, domain: str):
    return getattr(state.statistics, domain)["branches"]["neck"]["mean"]


def test_proto_proto_learns_through_the_prototypes_that_the_batch_moves(state, source, target):
    """Table 5; prototypes of before the batch are constants, and PDA would change no weight."""
    learnt = [
        Machine(1, AS_THEY_ARE, objective=Objective(alpha=alpha, domain_pairs="proto_proto"))(
            state, source, target
        )[0].params["branches"]["backbone"]["conv1"]["kernel"]
        for alpha in (0.0, 5.0)
    ]
    assert np.abs(learnt[1] - learnt[0]).max() > 1e-6


# --- what is not reliable


def test_labels_that_are_not_reliable_have_no_influence(machine, state, source, target, stepped):
    wrong = np.where(HALF, target.labels, (target.labels + 1) % NUM_TARGET).astype(np.int32)
    assert_same(machine(state, source, target._replace(labels=wrong)), stepped)


def test_a_reliable_label_has_influence(machine, state, source, target, stepped):
    wrong = np.where(HALF, (target.labels + 1) % NUM_TARGET, target.labels).astype(np.int32)
    _, terms = machine(state, source, target._replace(labels=wrong))
    assert terms["identity_target"] != stepped[1]["identity_target"]


def test_images_whose_label_is_not_reliable_take_part_in_alignment(machine, state, source, target, stepped):
    images = target.images.copy()
    images[~HALF] = 255 - images[~HALF]
    _, terms = machine(state, source, target._replace(images=images))
    for name in ("domain_intra", "domain_inter", "modality"):
        assert abs(terms[name] - stepped[1][name]) > 1e-5


def test_without_a_reliable_label_the_target_is_not_learnt_to_identify(machine, state, source, target):
    after, terms = machine(state, source, target._replace(reliable=np.zeros(B, bool)))
    assert (terms["identity_target"], terms["triplet_target"]) == (0, 0)
    assert_same(after.banks.target, state.banks.target)


def test_without_a_reliable_label_or_a_valid_cluster_everything_stays_finite(machine, state, source, target):
    nothing = jax.tree.map(np.zeros_like, as_arrays(state.banks.target))
    empty = state.replace(banks=state.banks._replace(target=nothing))
    result = machine(empty, source, target._replace(reliable=np.zeros(B, bool)))
    for path, leaf in jax.tree_util.tree_leaves_with_path(result):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)


# --- without the source (the US protocol)


@pytest.fixture(scope="module")
def unsupervised(machine, state, target):
    return machine(state, None, target)


def test_without_the_source_the_total_is_what_is_left_of_eq_23(unsupervised):
    terms = {name: float(value) for name, value in unsupervised[1].items()}
    assert set(terms) == {"total", "identity_target", "triplet_target", "memory", "modality"}
    expected = (
        terms["identity_target"] + terms["triplet_target"] + 0.6 * terms["memory"] + 0.3 * terms["modality"]
    )
    assert terms["total"] == pytest.approx(expected, rel=1e-9)


def test_without_the_source_the_target_is_compared_with_itself(unsupervised, state, target, features):
    rows = np.asarray(features(target).normed)
    instances = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    valid = np.asarray(state.banks.target.valid)
    prototypes = np.asarray(state.banks.target.modal)[:, valid]
    both_ways = modality_oracle.modality_margin_loss(instances, instances, prototypes, prototypes)
    assert float(unsupervised[1]["modality"]) == pytest.approx(both_ways / 2, rel=1e-8)


def test_without_the_source_all_that_is_the_source_s_own_stays(unsupervised, state):
    after, _ = unsupervised
    assert_same(after.banks.source, state.banks.source)
    assert_same(after.statistics.source, state.statistics.source)
    entered = set(after.memory.labels[MEMORY // 2 : MEMORY // 2 + B // 2])
    assert all(label >= NUM_SOURCE for label in entered)


# --- banks and memory


@pytest.mark.parametrize("domain", ["source", "target"])
def test_banks_move_towards_the_features_of_before_the_update(
    state, source, target, features, stepped, domain
):
    batch = {"source": source, "target": target}[domain]
    before, after = (getattr(banks, domain) for banks in (as_arrays(state.banks), stepped[0].banks))
    seen, kept = features(batch), batch.reliable

    def moved(values, rows):
        members = (np.asarray(rows)[kept], batch.labels[kept])
        return oracle.move_prototypes(values, before.valid, *members, MOMENTUM)

    for m in range(MODEL.num_modalities):
        assert_close(after.modal[m], moved(before.modal[m], seen.modal_unit[m]))
    assert_close(after.fused, moved(before.fused, seen.fused_unit))
    np.testing.assert_array_equal(after.valid, before.valid)
    assert np.abs(after.fused - before.fused).max() > 1e-3


def test_banks_may_move_by_one_reliable_instance_after_the_other(state, target, features):
    alike = target._replace(labels=np.zeros(B, np.int32))
    before, seen = state.banks.target, features(target)
    settings = StepSettings(momentum=MOMENTUM, moving_form="sequential")
    after = move_bank(before, seen, alike, settings)
    tables = zip([*before.modal, before.fused], [*seen.modal_unit, seen.fused_unit], strict=True)
    for moved, (values, rows) in zip([*after.modal, after.fused], tables, strict=True):
        members = (np.asarray(rows)[HALF], alike.labels[HALF])
        wanted = oracle.move_prototypes(np.asarray(values), before.valid, *members, MOMENTUM, "sequential")
        assert_close(moved, wanted)


def test_the_memory_holds_the_reliable_triples_of_the_batch_before_the_neck(
    state, source, target, features, stepped
):
    before, after = as_arrays(state).memory, stepped[0].memory
    rows = np.concatenate([features(source).fused_pooled, features(target).fused_pooled[HALF]])
    labels = np.concatenate([source.labels, target.labels[HALF] + NUM_SOURCE])
    start, end = MEMORY // 2, MEMORY // 2 + len(labels)
    np.testing.assert_array_equal(after.labels[start:end], labels)
    assert_close(after.features[start:end], rows)
    np.testing.assert_array_equal(after.features[:start], before.features[:start])
    assert after.cursor == end


# --- pre-training


@pytest.fixture(scope="module")
def augmenting() -> Machine:
    return Machine(8, Augmentation(pad=2))


@pytest.fixture(scope="module")
def pretrained(augmenting, state, source):
    return augmenting(state, source)


def test_pretraining_learns_from_the_source_alone(state, pretrained):
    after, terms = pretrained
    assert set(terms) == {"total", "identity_source", "triplet_source"}
    assert terms["total"] == pytest.approx(terms["identity_source"] + terms["triplet_source"], rel=1e-9)
    assert not np.array_equal(
        after.params["heads"]["fused"]["kernel"], state.params["heads"]["fused"]["kernel"]
    )


def test_pretraining_moves_the_running_statistics_of_both_domains_alike(state, pretrained):
    after, _ = pretrained
    assert_same(after.statistics.target, after.statistics.source)
    assert not np.array_equal(neck_mean(after, "target"), neck_mean(state, "target"))


def test_pretraining_touches_neither_banks_nor_memory(state, pretrained):
    assert_same(pretrained[0].banks, state.banks)
    assert_same(pretrained[0].memory, state.memory)


def test_every_step_augments_anew(augmenting, state, source, pretrained):
    later = augmenting(state.replace(step=state.step + 1), source)
    assert later[1]["total"] != pretrained[1]["total"]


def test_another_key_augments_otherwise(augmenting, state, source, pretrained):
    other = augmenting(state.replace(key=jax.random.key(99)), source)
    assert other[1]["total"] != pretrained[1]["total"]
