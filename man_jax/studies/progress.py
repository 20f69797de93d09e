"""Tell how far a comparison is: which run is at work, and about how long the others will take."""

import statistics
from collections.abc import Collection, Sequence

from data_pipelines.session.progress import time_left

Name = tuple[int, str]
"""The seed and the row of a run."""


def title(run: Name) -> str:
    """Name a run for the log."""
    return f"seed {run[0]}, {run[1]}"


class StudyProgress:
    """The runs of a comparison in their order, and the times of those that ran from beginning to end in this call.

    A run that an earlier call finished or began takes less time, so its time says nothing about the others.
    """

    def __init__(self, runs: Sequence[Name], *, finished: Collection[Name]):
        self._runs = list(runs)
        self._finished = frozenset(finished)
        self._seconds: dict[Name, float] = {}

    def announcement(self, run: Name) -> str:
        """Name a run that is about to begin, e.g. "run 3 of 10, seed 1, no_cpa, about 40 min left"."""
        place = self._runs.index(run)
        parts = [f"run {place + 1} of {len(self._runs)}", title(run)]
        if run in self._finished:
            parts.append("finished before")
        seconds = self._seconds_left(self._runs[place:])
        return ", ".join(parts if seconds is None else [*parts, time_left(seconds)])

    def end(self, run: Name, seconds: float | None) -> None:
        """Keep how long a run took that has ended; None if that should not count."""
        if seconds is not None and run not in self._finished:
            self._seconds[run] = seconds

    def _seconds_left(self, upcoming: Sequence[Name]) -> float | None:
        """Sum the expected times of unfinished runs: the mean of the same row, or of all runs if the row has none."""
        if not self._seconds:
            return None
        return sum(self._expected(row) for seed, row in upcoming if (seed, row) not in self._finished)

    def _expected(self, row: str) -> float:
        same = [seconds for (_, name), seconds in self._seconds.items() if name == row]
        return statistics.fmean(same or self._seconds.values())
