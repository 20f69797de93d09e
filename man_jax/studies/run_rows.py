"""Run all runs of a study, also beside other processes that have the same study in hand.

Each process takes the first run that nobody has, and that has the weights it starts from. The lock of a work directory
says that a run is taken, so the processes need not know of each other: they may be those of --workers, or the same
command on several GPUs or hosts, with one folder.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from absl import logging

from data_pipelines.session.progress import speaking_of
from man_jax.engine.training_run import has_begun, is_finished, train_or_resume
from man_jax.runs.metrics import read_summary
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
    while unfinished := progress.unfinished():
        free = next((each for each in unfinished if _can_begin(planned[each], planned.values())), None)
        if free is not None:
            waiting = not _run(free, planned[free], progress)
        elif not waiting:
            told = "; ".join(map(title, unfinished))
            logging.info("waiting for other processes, which have these runs or their weights: %s", told)
            waiting = True
        if waiting:
            time.sleep(PAUSE)
    return {each: read_summary(run.workdir) for each, run in planned.items()}


def _can_begin(run: PlannedRun, planned: Iterable[PlannedRun]) -> bool:
    """Tell whether nobody has a run, and whether the planned run that gives it its weights is finished."""
    giver = next((each for each in planned if str(each.workdir) == run.config.pretrain.init_from), None)
    return (giver is None or is_finished(giver.workdir)) and not in_use(run.workdir)


def _run(name: Name, run: PlannedRun, progress: StudyProgress) -> bool:
    """Run one run to its end; False if another process has just taken it."""
    logging.info("%s", progress.announcement(name))
    begun, start = has_begun(run.workdir), time.monotonic()
    try:
        with speaking_of(title(name)):
            train_or_resume(run.config, run.workdir)
    except WorkdirInUseError:
        return False
    progress.end(name, None if begun else time.monotonic() - start)
    return True
