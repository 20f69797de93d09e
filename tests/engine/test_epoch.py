import jax
import numpy as np
import pytest

from man_jax.engine.epoch import RUN_AHEAD, labelled_batches, train_epoch
from man_jax.engine.optimizer import make_optimizer
from man_jax.frame import Labels
from man_jax.sharding import make_mesh
from tests.engine.splits import new_split
from tests.engine.tiny import new_state

N, T, B = 20, 3, 8
PLAN = np.random.default_rng(0).integers(0, N, (T, B), np.int32)
CAMERAS = (np.arange(N) % 2).astype(np.int32)
LABELS = Labels(
    (np.arange(N) % 7).astype(np.int32)[:, None], (np.arange(N) % 3 / 2).astype(np.float32), num_clusters=7
)


@pytest.fixture(scope="module")
def split():
    return new_split(np.arange(N))


def batches(split):
    return list(labelled_batches(split, CAMERAS, PLAN, LABELS, mesh=make_mesh(), workers=0))


def test_batches_follow_the_plan_with_the_labels_of_their_triples(split):
    made = batches(split)
    assert len(made) == T
    for batch, index in zip(made, PLAN, strict=True):
        np.testing.assert_array_equal(batch.images, split.read(index))
        np.testing.assert_array_equal(batch.index, index)
        np.testing.assert_array_equal(batch.camera, CAMERAS[index])
        np.testing.assert_array_equal(batch.label, LABELS.labels[index, 0])
        np.testing.assert_array_equal(batch.weight, LABELS.weight[index])
        np.testing.assert_array_equal(batch.reliable, LABELS.weight[index] > 0)
        assert np.asarray(batch.present).all()


def test_batches_lie_split_over_the_devices(split):
    for leaf in jax.tree.leaves(batches(split)[0]):
        assert {shard.data.shape[0] for shard in leaf.addressable_shards} == {B // 8}


# --- an epoch of steps


def counting(state, *numbers):
    """A step whose state lists what it was given."""
    there = [number for number in numbers if number is not None]
    return [*state, numbers], {"total": np.float32(sum(there)), "first": np.float32(there[0])}


def test_an_epoch_is_one_step_a_batch_in_order():
    state, _ = train_epoch(counting, [], [1.0, 2.0, 3.0], None, num_steps=3, description="epoch")
    assert state == [(1.0, None), (2.0, None), (3.0, None)]


def test_an_epoch_of_two_domains_gives_each_step_one_batch_of_both():
    state, _ = train_epoch(counting, [], [1.0, 2.0], [5.0, 6.0], num_steps=2, description="epoch")
    assert state == [(1.0, 5.0), (2.0, 6.0)]


def test_a_domain_that_takes_no_part_is_none_to_each_step():
    def heedless(state, source, target):
        return [*state, (source, target)], {"total": np.float32(target)}

    state, _ = train_epoch(heedless, [], None, [5.0, 6.0], num_steps=2, description="epoch")
    assert state == [(None, 5.0), (None, 6.0)]


def test_the_figures_of_an_epoch_are_the_means_of_its_terms():
    _, means = train_epoch(counting, [], [1.0, 2.0, 6.0], [0.0, 1.0, 2.0], num_steps=3, description="epoch")
    assert means == {"loss/total": pytest.approx(4.0), "loss/first": pytest.approx(3.0)}


def test_domains_of_different_lengths_are_an_error():
    with pytest.raises(ValueError, match="shorter"):
        train_epoch(counting, [], [1.0, 2.0], [5.0], num_steps=2, description="epoch")


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_term_that_is_not_finite_ends_the_run_by_name_and_with_a_remedy(broken):
    def diverging(state, number, _):
        return state, {"total": np.float32(number), "triplet": np.float32(broken if number > 1 else 0)}

    with pytest.raises(FloatingPointError, match=r"^epoch 2: loss/triplet became.*learning rate"):
        train_epoch(diverging, [], [1.0, 2.0, 1.0], None, num_steps=3, description="epoch 2")


def test_a_loss_that_is_not_finite_ends_the_epoch_as_soon_as_it_is_fetched():
    taken = []

    def diverging(state, number, _):
        taken.append(number)
        return state, {"total": np.float32(np.nan if number == 1 else 0), "triplet": np.float32(0)}

    with pytest.raises(FloatingPointError, match=r"^epoch 2: loss/total became.*learning rate"):
        train_epoch(diverging, [], range(50), None, num_steps=50, description="epoch 2")
    assert len(taken) == 2 + RUN_AHEAD


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_last_update_that_breaks_the_state_ends_the_run_before_it_is_saved(broken):
    def breaking(_, number, __):
        return {"count": np.int32(3), "kernel": np.full(4, number, np.float32)}, {"total": np.float32(0)}

    with pytest.raises(FloatingPointError, match=r"^epoch 2: the state became infinite or NaN"):
        train_epoch(breaking, {}, [1.0, broken], None, num_steps=2, description="epoch 2")
    train_epoch(breaking, {}, [broken, 1.0], None, num_steps=2, description="epoch 2")


def test_a_state_amid_training_is_finite():
    state = new_state(make_optimizer("adam", lambda _: 0.1, weight_decay=0.0))
    train_epoch(
        lambda state, *_: (state, {"total": np.float32(0)}), state, [1.0], None, num_steps=1, description=""
    )
