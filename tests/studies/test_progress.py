"""Which run a study is at, and how long the rest will take."""

import pytest

from man_jax.studies.progress import StudyProgress

RUNS = [(seed, row) for seed in (0, 1) for row in ("adapted", "oracle", "no_cpa")]


class Study(StudyProgress):
    """The runs in one process, where a run that ends is finished."""

    def __init__(self, *finished, workers: int = 1):
        self.finished = {*finished}
        super().__init__(RUNS, is_finished=self.finished.__contains__, workers=workers)

    def end(self, run, seconds):
        self.finished.add(run)
        super().end(run, seconds)


def test_the_first_run_is_named_without_a_time():
    assert Study().announcement((0, "adapted")) == "run 1 of 6, seed 0, adapted"


def test_the_rest_is_reckoned_from_the_runs_of_this_call_row_by_row():
    progress = Study()
    for run, minutes in (((0, "adapted"), 20), ((0, "oracle"), 10), ((0, "no_cpa"), 12)):
        progress.end(run, minutes * 60)
    assert progress.announcement((1, "adapted")) == "run 4 of 6, seed 1, adapted, about 42 min left"
    progress.end((1, "adapted"), 24 * 60)
    assert progress.announcement((1, "oracle")) == "run 5 of 6, seed 1, oracle, about 22 min left"


def test_a_row_that_was_not_measured_takes_the_mean_of_those_that_were():
    progress = Study()
    progress.end((0, "adapted"), 600)
    progress.end((0, "oracle"), 300)
    assert progress.announcement((0, "no_cpa")).endswith(f"about {(450 + 600 + 300 + 450) // 60} min left")


def test_only_runs_that_have_not_ended_are_reckoned():
    progress = Study(*RUNS[:2], RUNS[4])
    assert progress.unfinished() == [(0, "no_cpa"), (1, "adapted"), (1, "no_cpa")]
    assert progress.announcement((0, "no_cpa")) == "run 3 of 6, seed 0, no_cpa"
    progress.end((0, "no_cpa"), 600)
    assert progress.announcement((1, "adapted")) == "run 4 of 6, seed 1, adapted, about 20 min left"
    progress.finished.add((1, "adapted"))  # by another process
    assert progress.announcement((1, "no_cpa")) == "run 6 of 6, seed 1, no_cpa, about 10 min left"


def test_workers_share_the_time_that_is_left():
    progress = Study(workers=2)
    progress.end((0, "adapted"), 600)
    assert progress.announcement((0, "oracle")).endswith("about 25 min left")


def test_a_run_that_an_earlier_call_began_measures_nothing():
    progress = Study()
    progress.end((0, "adapted"), None)
    assert progress.announcement((0, "oracle")) == "run 2 of 6, seed 0, oracle"


@pytest.mark.parametrize("place", range(6))
def test_every_run_has_its_place(place):
    assert Study().announcement(RUNS[place]).startswith(f"run {place + 1} of 6, seed ")
