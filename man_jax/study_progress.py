"""How far a study is: which run it is at, and about how long the others will take."""

import statistics
from collections.abc import Collection, Sequence

from data_pipelines.session.progress import time_left

Name = tuple[int, str]
"""Seed and row of a run."""


def title(run: Name) -> str:
    """What to call a run in a log."""
    return f"seed {run[0]}, {run[1]}"


class StudyProgress:
    """The runs of a study in their order, and how long those took that were made whole under its eyes.

    A run that was found finished, or begun by an earlier call, takes less time than one from its beginning, so it says
    nothing of the others.
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
        """Take note of a run that has ended, and how long it took, unless it is None."""
        if seconds is not None and run not in self._finished:
            self._seconds[run] = seconds

    def _seconds_left(self, upcoming: Sequence[Name]) -> float | None:
        """The sum over the runs that are not finished: of each the mean of its row's, or of all if there is none."""
        if not self._seconds:
            return None
        return sum(self._expected(row) for seed, row in upcoming if (seed, row) not in self._finished)

    def _expected(self, row: str) -> float:
        same = [seconds for (_, name), seconds in self._seconds.items() if name == row]
        return statistics.fmean(same or self._seconds.values())
