import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.loading.sampler import Draw, identity_plan

labellings = st.lists(st.integers(-1, 6), min_size=4, max_size=40).filter(lambda x: len({*x} - {-1}) >= 2)


def _plan(
    labels,
    *,
    num_steps=9,
    identities=2,
    instances=4,
    seed=0,
    epoch=0,
    stream="target",
    reliable=None,
    draw="turns",
):
    return identity_plan(
        np.array(labels),
        num_steps=num_steps,
        identities=identities,
        instances=instances,
        seed=seed,
        epoch=epoch,
        stream=stream,
        reliable=None if reliable is None else np.array(reliable),
        draw=draw,
    )


def _groups(labels, **kwargs):
    """The plan as [T, P, K], and the label of each group [T, P]."""
    plan = _plan(labels, **kwargs).reshape(9, 2, 4)
    return plan, np.array(labels)[plan[:, :, 0]]


@given(labellings)
def test_a_row_holds_distinct_labels_and_a_group_only_one(labels):
    plan, of_group = _groups(labels)
    assert (np.array(labels)[plan] == of_group[:, :, None]).all()
    assert (of_group[:, 0] != of_group[:, 1]).all()


@given(labellings)
def test_samples_with_a_negative_label_are_never_drawn(labels):
    assert (np.array(labels)[_plan(labels)] >= 0).all()


@given(labellings)
def test_labels_take_turns(labels):
    drawn = _groups(labels)[1].ravel()
    for end in range(1, len(drawn) + 1):
        counts = [np.count_nonzero(drawn[:end] == label) for label in {*labels} - {-1}]
        assert max(counts) - min(counts) <= 1


@given(labellings)
def test_every_member_appears_before_any_repeats(labels):
    plan, of_group = _groups(labels)
    sizes = [len(np.unique(group)) for group in plan.reshape(-1, 4)]
    assert sizes == [min(4, labels.count(label)) for label in of_group.ravel()]


@given(labellings, st.randoms(use_true_random=False))
def test_a_group_has_two_reliable_members_where_the_label_has_them(labels, random):
    reliable = np.array([random.random() < 0.3 for _ in labels])
    plan, of_group = _groups(labels, reliable=reliable)
    for group, label in zip(plan.reshape(-1, 4), of_group.ravel(), strict=True):
        available = np.count_nonzero(reliable & (np.array(labels) == label))
        assert reliable[np.unique(group)].sum() >= min(2, available)


def test_no_more_than_two_members_are_chosen_for_being_reliable():
    labels, reliable = [0] * 20 + [1] * 20, np.arange(40) % 5 == 0
    plan, _ = _groups(labels, reliable=reliable)
    per_group = reliable[plan].sum(axis=-1)
    assert per_group.min() == 2
    # Of the other two places a fifth are reliable by chance.
    assert per_group.mean() < 2.8


@given(labellings)
def test_a_row_drawn_by_images_holds_distinct_labels_too(labels):
    plan, of_group = _groups(labels, draw="by_images")
    assert (np.array(labels)[plan] == of_group[:, :, None]).all()
    assert (of_group[:, 0] != of_group[:, 1]).all()


def test_labels_can_be_drawn_in_proportion_to_their_images():
    labels = np.repeat(
        np.arange(100), np.where(np.arange(100) < 10, 28, 2)
    )  # 280 images of ten labels, 180 of 90
    plan = _plan(labels, num_steps=4000, identities=1, draw="by_images")
    assert np.mean(labels[plan[:, 0]] < 10) == pytest.approx(280 / 460, abs=0.03)
    turns = _plan(labels, num_steps=4000, identities=1)
    assert np.mean(labels[turns[:, 0]] < 10) == pytest.approx(0.1, abs=0.01)


def test_labels_meet_others_in_each_turn():
    drawn = _plan([0, 1, 2, 3] * 4, num_steps=20)[:, ::4] % 4
    assert len({frozenset(row) for row in drawn.tolist()}) > 2


def test_the_same_arguments_give_the_same_plan():
    labels = [0, 1, 2, 3] * 5
    np.testing.assert_array_equal(_plan(labels, epoch=3), _plan(labels, epoch=3))


@pytest.mark.parametrize("change", [{"seed": 1}, {"epoch": 1}, {"stream": "source"}])
def test_seed_epoch_and_stream_each_change_the_plan(change):
    labels = [0, 1, 2, 3] * 5
    assert not np.array_equal(_plan(labels), _plan(labels, **change))


def test_a_plan_is_int32_with_one_row_a_step():
    plan = _plan([0, 1, 2] * 4, num_steps=7, identities=3, instances=2)
    assert (plan.shape, plan.dtype) == ((7, 6), np.int32)


def test_too_few_labels_are_an_error_with_the_remedy():
    with pytest.raises(ValueError, match="1 labels cannot fill batches of 2 identities; lower identities to"):
        _plan([0, 0, -1])


@pytest.mark.parametrize("size", [{"identities": 0}, {"instances": 0}])
def test_an_empty_batch_is_an_error(size):
    with pytest.raises(ValueError, match="at least 1"):
        _plan([0, 1], **size)


# --- groups


def grouped(groups_of_labels: list[int], *, num_steps: int = 12, draw: Draw = "turns") -> np.ndarray:
    """The labels of a plan of 2 x 2 whose labels have three samples each, as rows of two labels."""
    labels = np.repeat(np.arange(len(groups_of_labels)), 3)
    plan = identity_plan(
        labels,
        num_steps=num_steps,
        identities=2,
        instances=2,
        seed=0,
        epoch=1,
        stream="target",
        draw=draw,
        groups=np.repeat(groups_of_labels, 3),
    )
    return labels[plan].reshape(num_steps, 2, 2)[:, :, 0]


@pytest.mark.parametrize("draw", ["turns", "by_images"])
def test_each_row_is_of_one_group_and_the_groups_follow_in_turns(draw):
    of_labels = np.array([5, 5, 5, 8, 8, 5, 8])
    rows = of_labels[grouped(of_labels.tolist(), draw=draw)]
    assert (rows[:, 0] == rows[:, 1]).all()
    assert sorted(rows[:2, 0].tolist()) == sorted(rows[2:4, 0].tolist()) == [5, 8]


def test_within_a_group_every_label_is_drawn_before_any_is_drawn_again():
    rows = grouped([0, 0, 0, 0, 1, 1], num_steps=4)
    of_first = [label for row in rows for label in row if label < 4]
    assert sorted(of_first) == [0, 1, 2, 3]


def test_a_group_of_too_few_labels_has_no_row_and_if_all_have_too_few_groups_do_not_matter():
    assert set(grouped([0, 1, 1, 2]).ravel().tolist()) == {1, 2}
    assert set(grouped([0, 1, 2, 3]).ravel().tolist()) == {0, 1, 2, 3}


def test_with_one_group_the_plan_is_that_without_groups():
    labels = np.repeat(np.arange(5), 3)
    settings = {"num_steps": 9, "identities": 2, "instances": 2, "seed": 0, "epoch": 1, "stream": "x"}
    alone = identity_plan(labels, **settings, groups=np.full(15, 4))
    np.testing.assert_array_equal(alone, identity_plan(labels, **settings))
