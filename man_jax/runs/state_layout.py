"""Check that the checkpoints of a run hold the state that this version of the code has."""

from dataclasses import fields
from pathlib import Path

from man_jax.config import WorkdirError
from man_jax.frame import TrainState
from man_jax.runs.checkpoint import CHECKPOINTS, PRETRAINED, saved_fields
from man_jax.runs.metrics import read_history
from man_jax.runs.recovery import saved_steps

FIELDS = {field.name for field in fields(TrainState)}


def check_layout(workdir: Path) -> None:
    """Check that the run can go on, which it cannot if an older version saved another form of the state.

    The weights of such a checkpoint can be read all the same.

    Raises:
        WorkdirError: the message names the checkpoint, the fields that are not known and the remedies.
    """
    for step in saved_steps(workdir / CHECKPOINTS):
        folder = workdir / CHECKPOINTS / str(step)
        try:
            unknown = sorted(saved_fields(folder) - FIELDS)
        except Exception:  # it is damaged, as will be told when it is to be restored
            continue
        if unknown:
            raise WorkdirError(
                f"{folder} was saved by an older version of man_jax, whose state had {', '.join(unknown)}; this "
                f"version cannot go on from it. {_remedies(workdir)}go on with the version that began it"
            )
        return


def _remedies(workdir: Path) -> str:
    evaluate = f"Evaluate it (python -m man_jax.evaluate --run {workdir}), "
    if any(row["phase"] == "adapt" for row in read_history(workdir)):
        return f"{evaluate}begin from it in another --workdir by --config.adapt.init_from={workdir}, or "
    if (workdir / PRETRAINED).is_dir():
        return f"{evaluate}begin from it in another --workdir by --config.pretrain.init_from={workdir}, or "
    return f"{evaluate}begin again in another --workdir, or "
