"""Run all runs of a study, also beside other processes that have the same study in hand.

Each process takes the first run that nobody has, and that has the weights it starts from. The lock of a work directory
says that a run is taken, so the processes need not know of each other: they may be those of --workers, or the same
command on several GPUs or hosts, with one folder.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
from absl import logging

from data_pipelines.session.progress import speaking_of
from man_jax.engine.training_run import has_begun, is_finished, train_or_resume
from man_jax.runs.metrics import read_summary
from man_jax.runs.multi_process import OtherProcessError, told_by_first_process
from man_jax.runs.workdir import WorkdirInUseError, in_use
from man_jax.studies.planned_runs import PlannedRun
from man_jax.studies.progress import Name, StudyProgress, title

PAUSE = 5.0
"""Seconds between two looks at runs that other processes have."""


def run_rows(planned: Mapping[Name, PlannedRun], *, workers: int = 1) -> dict[Name, dict[str, Any]]:
    """Run what is not finished, wait for what others run, and return all summaries by seed and row.

    Args:
        planned: the runs, in the order in which they begin.
        workers: how many processes run them; it divides the time that is told to be left.

    Raises:
        ConfigError, DataError, FloatingPointError, DiskError: as `train_or_resume` does, for the first run that fails.
    """
    progress = StudyProgress(
        [*planned], is_finished=lambda each: is_finished(planned[each].workdir), workers=workers
    )
    if finished := len(planned) - len(progress.unfinished()):
        logging.info("%d of %d runs were finished before", finished, len(planned))
    waiting = False
    while (choice := _choose(planned, progress)).unfinished:
        if choice.free is not None:
            waiting = not _run(choice.free, planned[choice.free], progress)
        elif not waiting:
            told = "; ".join(map(title, choice.unfinished))
            logging.info("waiting for other processes, which have these runs or their weights: %s", told)
            waiting = True
        if waiting:
            time.sleep(PAUSE)
    summaries = [read_summary(run.workdir) for run in planned.values()] if jax.process_index() == 0 else []
    return dict(zip(planned, told_by_first_process(summaries), strict=True))


class _Choice(NamedTuple):
    """The runs that have not ended, and the one to run now; None if other processes have them all."""

    unfinished: list[Name]
    free: Name | None


def _choose(planned: Mapping[Name, PlannedRun], progress: StudyProgress) -> _Choice:
    """Choose the next run; of processes that run each run together, process 0 chooses."""
    names = [*planned]
    places: list[int] = []
    free = None
    if jax.process_index() == 0:
        places = [names.index(each) for each in progress.unfinished()]
        free = next(
            (each for each in places if _can_begin(planned[names[each]], planned.values())),
            None,
        )
    places, free = told_by_first_process([places, free])
    return _Choice([names[each] for each in places], None if free is None else names[free])


def _can_begin(run: PlannedRun, planned: Iterable[PlannedRun]) -> bool:
    """Tell whether nobody has a run or has just ended it, and whether the run that gives it its weights is finished."""
    giver = next((each for each in planned if str(each.workdir) == run.config.pretrain.init_from), None)
    begins = giver is None or is_finished(giver.workdir)
    # In this order, because the run may end in between.
    return begins and not in_use(run.workdir) and not is_finished(run.workdir)


def _run(name: Name, run: PlannedRun, progress: StudyProgress) -> bool:
    """Run one run to its end; False if another process has just taken it."""
    logging.info("%s", progress.announcement(name))
    begun, start = has_begun(run.workdir), time.monotonic()
    try:
        with speaking_of(title(name)):
            train_or_resume(run.config, run.workdir)
    except WorkdirInUseError:
        return False
    except OtherProcessError as error:
        if error.kind != WorkdirInUseError.__name__:
            raise
        return False
    progress.end(name, None if begun else time.monotonic() - start)
    return True
