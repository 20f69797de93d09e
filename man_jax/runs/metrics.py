"""Write the figures of a run: `metrics.jsonl`, TensorBoard events and `summary.json`.

`metrics.jsonl` is the record of the run. It has one JSON object a line, and each line is on the disk at once: a killed
run loses at most the line that it was writing, and a full disk loses none. A figure that is not finite is written as
null, because JSON has no NaN; the training loop decides whether to go on with such a loss.
"""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from data_pipelines.session import disk
from man_jax.runs.events import EventFile
from man_jax.runs.past_config import read_json

METRICS_FILE = "metrics.jsonl"
SUMMARY_FILE = "summary.json"
TENSORBOARD_FOLDER = "tensorboard"
ROW_KEYS = ("step", "epoch", "phase")


class Receiver(Protocol):
    """What receives each row besides the files, e.g. a tracker of experiments."""

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Receive the figures of one row."""
        ...

    def close(self) -> None:
        """Receive no more; closing twice is harmless."""
        ...


class MetricsWriter:
    """Appends rows to `metrics.jsonl` and to TensorBoard's events in `workdir`; only process 0 writes.

    `resume` opens the trackers that `open_trackers` gives, which receive each row after the files have it.

    Rows that are there already are kept. To go on from a checkpoint, call `resume` before the first `write`.
    """

    def __init__(
        self,
        workdir: str | os.PathLike[str],
        *,
        process_index: int = 0,
        open_trackers: Callable[[], Sequence["Receiver"]] = tuple,
    ):
        self._workdir = Path(workdir)
        self._enabled = process_index == 0
        self._file: disk.WholeAppends | None = None
        self._tensorboard: EventFile | None = None
        self._purge_step: int | None = None
        self._open_trackers = open_trackers
        self._trackers: Sequence[Receiver] = ()

    def resume(self, step: int) -> None:
        """Drop every row after `step`, the step of the checkpoint from which the run goes on.

        `step` counts through the whole run, pre-training included. The file is replaced atomically, and TensorBoard is
        told to hide its events from the next step on.

        Raises:
            RuntimeError: rows have been written already.
            ValueError: a line other than the last is not JSON.
            DiskError: the disk refuses.
        """
        if self._file is not None:
            raise RuntimeError("resume() must come before the first write()")
        if not self._enabled:
            return
        rows = read_history(self._workdir)
        _write_rows(self._workdir, [row for row in rows if row["step"] <= step])
        self._purge_step = step + 1
        self._trackers = self._open_trackers()

    def write(self, metrics: Mapping[str, Any], *, step: int, epoch: int, phase: str) -> None:
        """Append one row of scalars (Python, numpy or jax), e.g. `{"loss/total": 1.2, "eval/mAP": 0.4}`.

        Raises:
            ValueError: a metric is called step, epoch or phase, or is not a scalar.
            DiskError: the disk refuses; the earlier rows stay whole.
        """
        values = {name: _scalar(name, value) for name, value in metrics.items()}
        if not self._enabled:
            return
        row = {"step": int(step), "epoch": int(epoch), "phase": phase} | values
        with disk.writing(self._workdir / METRICS_FILE):
            self._opened_file().append(_json_line(row).encode())
        with disk.writing(self._workdir / TENSORBOARD_FOLDER):
            self._opened_tensorboard().write(values, step=int(step))
        for tracker in self._trackers:
            tracker.write(values | {"epoch": float(epoch)}, int(step))

    def close(self) -> None:
        """Close both files and the trackers; closing twice is harmless."""
        if self._file is not None:
            self._file.close()
        if self._tensorboard is not None:
            self._tensorboard.close()
        self._file = self._tensorboard = None
        for tracker in self._trackers:
            tracker.close()
        self._trackers = ()

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened_file(self) -> disk.WholeAppends:
        if self._file is None:
            self._workdir.mkdir(parents=True, exist_ok=True)
            path = self._workdir / METRICS_FILE
            if path.exists() and not path.read_bytes().endswith(b"\n"):
                _write_rows(self._workdir, read_history(self._workdir))  # or a torn line swallows the next
            self._file = disk.WholeAppends(path)
        return self._file

    def _opened_tensorboard(self) -> EventFile:
        if self._tensorboard is None:
            self._tensorboard = EventFile(self._workdir / TENSORBOARD_FOLDER, purge_step=self._purge_step)
        return self._tensorboard


def read_history(workdir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Read the rows of `metrics.jsonl` in order; without a file there are none. null becomes None.

    A last line without a newline is left out, because the run was killed while it wrote that line.

    Raises:
        ValueError: a whole line is not a JSON object with a step.
    """
    path = Path(workdir) / METRICS_FILE
    if not path.exists():
        return []
    whole_lines = path.read_bytes().split(b"\n")[:-1]
    rows = []
    for number, line in enumerate(whole_lines, start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            raise ValueError(
                f"{path}, line {number} is not a JSON object with a step: {line[:80]!r}; remove the line to go on"
            )
        rows.append(row)
    return rows


def write_summary(
    workdir: str | os.PathLike[str], summary: Mapping[str, Any], *, process_index: int = 0
) -> None:
    """Write `summary.json` atomically: a reader sees the old file or the new one, never half of one.

    The summary may hold nested mappings and lists of scalars. A figure that is not finite becomes null.
    """
    if process_index == 0:
        text = json.dumps(_jsonable(summary), indent=2, allow_nan=False) + "\n"
        replace_file(Path(workdir) / SUMMARY_FILE, text)


def read_summary(workdir: Path) -> dict[str, Any]:
    """Read `summary.json`, with NaN for a figure that is null; WorkdirError if there is none or it is torn."""
    return _with_nan(read_json(workdir / SUMMARY_FILE, "let the run finish"))


def _with_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _with_nan(item) for name, item in value.items()}
    return math.nan if value is None else value


def _write_rows(workdir: Path, rows: list[dict[str, Any]]) -> None:
    replace_file(workdir / METRICS_FILE, "".join(map(_json_line, rows)))


def _json_line(row: Mapping[str, Any]) -> str:
    return json.dumps(_jsonable(row), allow_nan=False) + "\n"


def replace_file(path: Path, text: str) -> None:
    """Write a text atomically: a reader sees the old file or the new one, never half of one.

    Raises DiskError if the disk refuses; the old file then stays as it was.
    """
    with disk.writing(path):
        # A name in the text may hold a byte of another encoding, which UTF-8 cannot write.
        disk.replace_file(path, text.encode(errors="backslashreplace"))


def _scalar(name: str, value: Any) -> float:
    if name in ROW_KEYS:
        raise ValueError(f"a metric may not be called {name!r}; the row has a {name} of its own")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"metric {name!r} must be a scalar, got {value!r}") from error


def _jsonable(value: Any) -> Any:
    """Turn a value into plain Python for `json`: numpy and jax scalars become numbers, NaN and infinities None."""
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if hasattr(value, "tolist"):  # numpy and jax, scalars and arrays alike
        return _jsonable(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, os.PathLike) else value
