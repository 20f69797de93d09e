"""What is left of a run, reckoned on a clock that the test moves."""

import pytest

from man_jax.runs.time_left import ENOUGH, Plan, RunClock

PLAN = Plan(pretrain_steps=100, adapt_epochs=3, adapt_iterations=50, batches=2, features=30.0)


class Hand:
    """A clock that goes when it is told to."""

    def __init__(self):
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def steps(clock: RunClock, hand: Hand, phase, places, seconds: float) -> list[bool]:
    """The steps of those places in their epoch, each of which takes so long."""
    found = []
    for place in places:
        hand.time += seconds
        found.append(clock.step(phase, place))
    return found


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def clock(hand) -> RunClock:
    return RunClock(PLAN, now=hand)


def test_nothing_is_known_before_a_second_step(clock, hand):
    assert (clock.seconds_left(0), clock.words(0)) == (None, "")
    steps(clock, hand, "pretrain", [1], 100.0)
    assert clock.seconds_left(1) is None


def test_it_is_told_once_as_soon_as_enough_steps_are_measured(clock, hand):
    found = steps(clock, hand, "pretrain", range(1, 20), 1.0)
    assert [place for place, told in enumerate(found) if told] == [ENOUGH]
    assert not any(steps(clock, hand, "adapt", range(1, 20), 1.0))


def test_before_adaptation_is_measured_its_steps_cost_as_many_batches_as_they_have(clock, hand):
    clock.compiled("pretrain", 40.0)
    hand.time = 60.0  # what the first step took does not count
    steps(clock, hand, "pretrain", range(1, 11), 2.0)
    pretraining, adaptation = 90 * 2.0, 150 * 4.0
    features, compilation = 3 * 30.0 * 2.0 / 3, 2 * 40.0
    assert clock.seconds_left(10) == pytest.approx(pretraining + adaptation + features + compilation)


def test_once_measured_adaptation_counts_as_it_went(clock, hand):
    steps(clock, hand, "pretrain", range(1, 11), 2.0)
    clock.compiled("adapt", 300.0)
    for _ in range(2):
        # Of 50 steps the first two and the last two are not seen to end.
        steps(clock, hand, "adapt", range(1, 49), 3.0)
        hand.time += 2 * 3.0 + 20.0  # the last two, then clustering and evaluation
    assert clock.seconds_left(200) == pytest.approx(50 * 3.0 + 1 * 20.0)


def test_a_run_that_goes_on_in_adaptation_needs_no_pretraining_to_be_measured(clock, hand):
    steps(clock, hand, "adapt", range(1, 11), 3.0)
    assert clock.seconds_left(200) == pytest.approx(50 * 3.0 + 30.0 * 1.5 / 3)


def test_at_the_end_nothing_is_left_and_nothing_said(clock, hand):
    steps(clock, hand, "adapt", range(1, 11), 3.0)
    assert (clock.seconds_left(250), clock.words(250)) == (0.0, "")


def test_a_run_without_adaptation_needs_no_compilation_of_it(hand):
    clock = RunClock(Plan(100, 0, 50, batches=2, features=30.0), now=hand)
    clock.compiled("pretrain", 40.0)
    steps(clock, hand, "pretrain", range(1, 11), 2.0)
    assert clock.seconds_left(10) == pytest.approx(180.0)
    assert clock.words(10) == "about 3 min left"


def test_a_step_that_did_not_compile_leaves_the_compilation_as_it_was(clock):
    clock.compiled("pretrain", 40.0)
    clock.compiled("pretrain", 0.0)
    assert clock._compilation == {"pretrain": 40.0}
