"""Tell how far a comparison is: which run is at work, and about how long the others will take."""

import statistics
from collections.abc import Callable, Sequence

from data_pipelines.session.progress import time_left

Name = tuple[int, str]
"""The seed and the row of a run."""


def title(run: Name) -> str:
    """Name a run for the log."""
    return f"seed {run[0]}, {run[1]}"


class StudyProgress:
    """The runs of a comparison in their order, and the times of those that ran from beginning to end in this process.

    A run that an earlier call began takes less time, so its time says nothing about the others.

    Args:
        runs: the seed and the row of each.
        is_finished: whether a run has ended, in this process or another.
        workers: how many processes share the runs.
    """

    def __init__(self, runs: Sequence[Name], *, is_finished: Callable[[Name], bool], workers: int = 1):
        self._runs = list(runs)
        self._is_finished = is_finished
        self._workers = workers
        self._seconds: dict[Name, float] = {}

    def unfinished(self) -> list[Name]:
        """List the runs that have not ended, in their order."""
        return [run for run in self._runs if not self._is_finished(run)]

    def announcement(self, run: Name) -> str:
        """Name a run that is about to begin, e.g. "run 3 of 10, seed 1, no_cpa, about 40 min left"."""
        parts = [f"run {self._runs.index(run) + 1} of {len(self._runs)}", title(run)]
        seconds = self._seconds_left()
        return ", ".join(parts if seconds is None else [*parts, time_left(seconds)])

    def end(self, run: Name, seconds: float | None) -> None:
        """Keep how long a run took that has ended; None if that should not count."""
        if seconds is not None:
            self._seconds[run] = seconds

    def _seconds_left(self) -> float | None:
        """Sum the expected times of unfinished runs: the mean of the same row, or of all runs if the row has none."""
        if not self._seconds:
            return None
        return sum(self._expected(row) for _, row in self.unfinished()) / self._workers

    def _expected(self, row: str) -> float:
        same = [seconds for (_, name), seconds in self._seconds.items() if name == row]
        return statistics.fmean(same or self._seconds.values())
