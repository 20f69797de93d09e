"""Banks, XBM and heads that are divided among eight devices: a run computes what it computes when they are whole.

In double precision, so that another order of a sum is seen to be all. In single precision it makes 1e-5.
"""

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import jax
import numpy as np
import pytest

from man_jax.engine.augment import normalize
from man_jax.engine.build import build_frame, build_normalization
from man_jax.engine.labelling import known_labels
from man_jax.engine.optimizer import make_optimizer
from man_jax.engine.placement import memory_layout, place_state, sharded_places
from man_jax.engine.state import begin_phase, create_state
from man_jax.engine.step import make_step
from man_jax.frame import ByDomain, EpochFeatures, FeatureTable, LabelSpace
from man_jax.layout import laid_out
from man_jax.methods import man
from man_jax.networks.three_branch import Branch
from man_jax.runs.checkpoint import open_checkpoints, restore_state, save_state
from man_jax.sharding import make_mesh, put_batch
from tests.engine.small_backbone import SmallBackbone
from tests.engine.tiny import QUICKLY, M, as_arrays, in_double, new_batch, new_frame
from tests.oracles.cases import unit_normal

SOURCE, TARGET, TRIPLES, ENTRIES = 21, 53, ByDomain(63, 159), 203
"""None of them is divisible by eight."""
D = 64
"""So long that a memory is larger than all else that is exchanged."""
OPTIMIZER = make_optimizer("adam", lambda _: 0.01, weight_decay=1e-4, decay_form="coupled")
FORMS = {
    "default": {},
    "others": {
        "man.moving_form": "sequential",
        "man.domain_kernel": "multi",
        "man.domain_pairs": "proto_proto",
        "man.head": "memory",
        "man.prototype_weights": "average",
        "man.aligned": "normed",
    },
}


@pytest.fixture(scope="module", autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def frame_of(memories: str, mesh, **changes):
    config = new_frame(**{"man.memories": memories, "man.memory_size": ENTRIES}, **changes).config
    layout = memory_layout(man, config, mesh)._replace(block=16)
    frame = build_frame(config, LabelSpace(SOURCE, TARGET), TRIPLES, layout=layout)
    normalization = build_normalization(config)
    model = replace(frame.model, branch=Branch(cast(Any, SmallBackbone(D))))
    traced = []

    def view(_, images):
        traced.append(images)
        return normalize(images, normalization)

    return frame._replace(model=model, view=view), traced


def table(seed: int, num_classes: int, num_triples: int) -> FeatureTable:
    rng = np.random.default_rng(seed)
    modal = unit_normal(rng, M, num_classes, D)[:, np.arange(num_triples) % num_classes]
    modal = modal + 0.3 * unit_normal(rng, M, num_triples, D)
    modal /= np.linalg.norm(modal, axis=-1, keepdims=True)
    fused = np.moveaxis(modal, 0, 1).reshape(num_triples, -1) / np.sqrt(M)
    return FeatureTable(modal, fused, modal[::-1].copy())


def labels_of(num_classes: int, num_triples: int):
    return known_labels((np.arange(num_triples) % num_classes).astype(np.int32))


def begun(memories: str, mesh, **changes) -> SimpleNamespace:
    """The state with which the first epoch begins, and the step; `traced` grows when it is traced."""
    frame, traced = frame_of(memories, mesh, **changes)
    places = sharded_places(man, frame)

    def start():
        state = create_state(frame, OPTIMIZER)
        return laid_out(begin_phase(man.start(frame, state), OPTIMIZER), mesh, places)

    first = jax.jit(start, compiler_options=QUICKLY)()
    place = np.arange(TRIPLES.target)
    unreliable = (place % 5 == 0) | (place % TARGET % 3 == 0)  # a third of the clusters has no prototype
    weight = np.where(unreliable, 0, 1).astype(np.float32)
    target = labels_of(TARGET, TRIPLES.target)._replace(weight=weight, continued=False)
    labels = ByDomain(labels_of(SOURCE, TRIPLES.source), target)
    features = EpochFeatures((table(1, SOURCE, TRIPLES.source),), (table(2, TARGET, TRIPLES.target),))
    state = place_state(man, frame, in_double(man.begin_epoch(frame, first, features, labels)), mesh)
    step = make_step(man, frame, OPTIMIZER, mesh)
    return SimpleNamespace(frame=frame, first=first, state=state, mesh=mesh, step=step, traced=traced)


def batches(seed: int, mesh):
    half = np.arange(8) % 2 == 0
    pair = new_batch(seed, SOURCE), new_batch(seed + 1, TARGET, reliable=half)
    return tuple(put_batch(batch, mesh) for batch in pair)


def steps(run: SimpleNamespace, state, first: int, number: int):
    """The state after some steps, and the terms of each."""
    told = []
    for seed in range(first, first + number):
        state, terms = run.step(state, *batches(seed, run.mesh))
        told.append(as_arrays(terms))
    return state, told


def copied(run: SimpleNamespace):
    return place_state(man, run.frame, run.state, run.mesh)


@pytest.fixture(scope="module", params=FORMS)
def pair(request) -> SimpleNamespace:
    """A run whose memories are whole on each of eight devices, and one whose memories are divided among them."""
    mesh = make_mesh()
    whole, divided = (begun(name, mesh, **FORMS[request.param]) for name in ("replicated", "sharded"))
    after = [steps(run, copied(run), 1, 3) for run in (whole, divided)]
    return SimpleNamespace(whole=whole, divided=divided, after=after)


def assert_alike(actual, expected, rtol=1e-9, atol=1e-10) -> None:
    """The same numbers, where the first may have zeros besides at the end of an axis."""
    pairs = zip(
        *(jax.tree_util.tree_leaves_with_path(as_arrays(each)) for each in (actual, expected)), strict=True
    )
    for (path, found), (_, wanted) in pairs:
        cut = found[tuple(slice(number) for number in wanted.shape)]
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(cut, wanted, rtol=rtol, atol=atol, err_msg=name)
        assert np.abs(found).sum() == pytest.approx(np.abs(cut).sum(), abs=1e-12), name


def test_an_epoch_begins_with_the_same_prototypes_and_columns(pair):
    assert_alike(pair.divided.state, pair.whole.state)


def test_steps_over_divided_memories_give_what_those_over_whole_ones_give(pair):
    (whole, terms), (divided, found) = pair.after
    assert_alike(found, terms)
    assert_alike(divided, whole, rtol=1e-7, atol=1e-8)


def large(state) -> dict[str, jax.Array]:
    slots = state.slots
    banks = [slots.banks.source, slots.banks.target, *(slots.aligned or ())]
    found = {f"bank {place}": bank for place, bank in enumerate(banks)}
    heads = [state.params["heads"], state.opt_state]
    return {
        "queue": slots.queue.features,
        **{
            f"{name} {rows}": getattr(bank, rows)
            for name, bank in found.items()
            for rows in ("modal", "fused")
        },
        **{
            jax.tree_util.keystr(path): leaf
            for path, leaf in jax.tree_util.tree_leaves_with_path(heads)
            if "kernel" in jax.tree_util.keystr(path) and leaf.shape[-1] == SOURCE + TARGET
        },
    }


def test_each_device_has_an_eighth_of_the_memories_from_the_start_to_the_last_step(pair):
    for state in (pair.divided.first, pair.divided.state, pair.after[1][0]):
        arrays = large(state)
        assert len(arrays) >= 1 + 4 + 6
        for name, leaf in arrays.items():
            shares = {shard.data.size for shard in leaf.addressable_shards}
            assert shares == {leaf.size // 8}, name
    assert all(leaf.is_fully_replicated for leaf in large(pair.after[0][0]).values())


def test_the_step_is_compiled_once(pair):
    traced = len(pair.divided.traced)
    steps(pair.divided, copied(pair.divided), 1, 2)
    assert len(pair.divided.traced) == traced == 2


def test_no_device_gathers_a_memory_or_sums_one_over_devices(pair):
    """Nothing as large as the smallest memory is exchanged, but for gradients of the network."""
    state = copied(pair.divided)
    smallest = min(leaf.size for leaf in large(state).values())
    network = {tuple(sorted(leaf.shape)) for leaf in jax.tree.leaves(state.params["branches"])}
    text = pair.divided.step.lower(state, *batches(1, pair.divided.mesh)).compile().as_text()
    collectives = re.findall(r" = (.*) (all-gather|all-reduce|reduce-scatter|all-to-all)\(", text)
    exchanged = [
        (kind, shape)
        for types, kind in collectives
        for sizes in re.findall(r"\w\[([\d,]*)\]", types)
        if (shape := tuple(sorted(int(size) for size in sizes.split(",") if size))) not in network
    ]
    assert {"all-gather", "all-reduce"} <= {kind for kind, _ in exchanged}
    assert [each for each in exchanged if np.prod(each[1]) >= smallest] == []


@pytest.mark.parametrize("names", [("whole", "divided"), ("divided", "whole")])
def test_a_run_that_is_saved_with_one_layout_goes_on_with_the_other(pair, names, tmp_path):
    before, after = (getattr(pair, name) for name in names)
    saved, _ = steps(before, copied(before), 1, 1)
    with open_checkpoints(tmp_path) as checkpoints:
        save_state(checkpoints, saved)
        restored = restore_state(
            checkpoints,
            1,
            jax.eval_shape(lambda: after.state),
            after.mesh,
            places=sharded_places(man, after.frame),
            padded=man.SHARDED,
        )
    assert_alike(*((saved, restored) if names[0] == "divided" else (restored, saved)), rtol=0, atol=0)
    shardings = [jax.tree.map(lambda leaf: leaf.sharding, tree) for tree in (restored, after.state)]
    assert shardings[0] == shardings[1]
    last, _ = steps(after, restored, 2, 2)
    assert_alike(pair.after[1][0], pair.after[0][0], rtol=1e-7, atol=1e-8)
    wanted = pair.after[0][0]
    assert_alike(*((last, wanted) if names[1] == "divided" else (wanted, last)), rtol=1e-7, atol=1e-8)


def test_memories_may_be_divided_among_any_number_of_devices():
    mesh = make_mesh(jax.devices()[:3])
    found, wanted = (begun(name, mesh).state for name in ("sharded", "replicated"))
    assert_alike(found, wanted)
    assert found.slots.queue.features.shape[0] == 204
