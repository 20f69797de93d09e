"""Find the newest whole checkpoint, and move damaged newer ones aside. Nothing is ever deleted here."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from absl import logging

from man_jax.config import ConfigError, WorkdirError
from man_jax.runs.metrics import METRICS_FILE, read_history
from man_jax.runs.seal import is_sealed, seal_fault

T = TypeVar("T")
ASIDE = "damaged-"
LOSS = "loss/total"
"""The figure of a row in `metrics.jsonl` that is kept beside the checkpoint too, so that the two can be compared."""


class PassedOver(NamedTuple):
    """A checkpoint that could not be used, and why."""

    step: int
    reason: str


def saved_steps(checkpoints: Path) -> list[int]:
    """List the steps that have a checkpoint's folder, the last one first."""
    return sorted((int(path.name) for path in checkpoints.glob("*") if path.name.isdigit()), reverse=True)


def read_newest(checkpoints: Path, read: Callable[[int], T]) -> tuple[int, T, list[PassedOver]]:
    """Read the newest whole checkpoint with `read`; return its step, what was read, and the damaged newer ones.

    A checkpoint is whole if its files are as the seal says. One without a seal is whole if it can be read. If the seal
    is right and `read` raises an error, the checkpoint is not damaged, and the error is raised.

    Raises:
        ConfigError: there is none, or none is whole.
    """
    passed: list[PassedOver] = []
    for step in saved_steps(checkpoints):
        reason = seal_fault(folder := checkpoints / str(step))
        if reason is None:
            try:
                return step, read(step), passed
            except Exception as error:  # a damaged file may cause any error
                if is_sealed(folder):
                    raise
                reason = first_line(error)
        passed.append(PassedOver(step, reason))
    if not passed:
        raise ConfigError(f"{checkpoints} holds no checkpoint; name the work directory of a run")
    told = "; ".join(f"step {step}: {reason}" for step, reason in passed)
    raise ConfigError(
        f"none of the checkpoints in {checkpoints} is whole ({told}); restore one from a copy, or train again in "
        f"another --workdir{_with_pretrained(checkpoints.parent)}"
    )


def check_rows(workdir: Path, step: int, *, begun_at: int, sealed: Mapping[str, float] | None = None) -> None:
    """Check that `metrics.jsonl` has the rows that the summary needs, if the run goes on from the checkpoint of `step`.

    `begun_at`: the step at which adaptation begins, where the weights were evaluated.
    `sealed`: the row of `step`, or a part of it, as it was saved beside the checkpoint.

    Raises:
        WorkdirError: rows are missing, or belong to another run; the message says which, and what to do.
    """
    rows = [row for row in read_history(workdir) if row["step"] <= step]
    last = max((row["step"] for row in rows), default=None)
    for key, value in (sealed or {}).items():
        there = [row.get(key) for row in rows if row["step"] == step]
        if there and there[-1] != value:
            raise WorkdirError(
                f"{workdir / METRICS_FILE} is another run's than the checkpoint of step {step}: {key} is {there[-1]} "
                f"there and was {value}; restore the file that belongs to it from a copy, or take the weights into "
                f"another --workdir by --config.adapt.init_from={workdir}"
            )
    if step == last and (
        step < begun_at or any("eval/mAP" in row for row in rows if row["step"] == begun_at)
    ):
        return
    missing = f"of step {step}" if step != last else f"of step {begun_at}, where adaptation began"
    raise WorkdirError(
        f"{workdir / METRICS_FILE} lacks the row {missing}, which the last figures come from; restore it from a copy, "
        f"or take the weights into another --workdir by --config.adapt.init_from={workdir}"
    )


def warn_of(passed: list[PassedOver], checkpoints: Path, step: int) -> None:
    """Warn of each damaged checkpoint: why it was passed over, and which one is used instead."""
    for each in passed:
        logging.warning(
            "the checkpoint of step %d in %s is damaged (%s); the one of step %d is used instead",
            *(each.step, checkpoints, each.reason, step),
        )


def move_aside(passed: list[PassedOver], checkpoints: Path) -> None:
    """Rename damaged checkpoints, so that new ones can be saved at their steps."""
    for each in passed:
        folder, number = checkpoints / f"{ASIDE}{each.step}", 2
        while folder.exists():
            folder, number = checkpoints / f"{ASIDE}{each.step}-{number}", number + 1
        (checkpoints / str(each.step)).rename(folder)
        logging.warning("the damaged checkpoint of step %d is kept as %s", each.step, folder)


def first_line(error: BaseException) -> str:
    """Shorten the message of an error to one readable line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."


def _with_pretrained(workdir: Path) -> str:
    folder = workdir / "pretrained"
    if not folder.is_dir() or seal_fault(folder):
        return ""
    return f" (with --config.pretrain.init_from={workdir} it need not be pre-trained again)"
