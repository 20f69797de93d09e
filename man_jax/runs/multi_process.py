"""Let several processes work together, each with its own devices, on several hosts or on one."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from man_jax.config import ConfigError

ADDRESS, COUNT, PLACE = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
"""Environment variables: host:port of process 0, the number of processes, and the number of this one, from 0 on."""

LINE = 1024
"""Bytes of an error that the other processes are told."""


class OtherProcessError(ConfigError):
    """Another process has refused to go on, so this one does not either; `kind` names its error."""

    def __init__(self, message: str, kind: str):
        super().__init__(message)
        self.kind = kind


def join_processes() -> None:
    """Connect this process with the others; call it before anything else of JAX.

    On TPU pods, under Slurm and under Open MPI, JAX itself finds what the environment does not name.

    Raises:
        ConfigError: something is missing or no number, or the processes have different numbers of devices. If the
            others do not answer within five minutes, JAX ends the process by itself.
    """
    count, place = (_number(name) for name in (COUNT, PLACE))
    # Otherwise JAX would catch SIGTERM, and the run would not end. It needs no warning: it can always go on.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(num_processes=count, process_id=place)
    except (ValueError, RuntimeError) as error:
        told = ", ".join(f"{name}={os.environ.get(name, '')}" for name in (ADDRESS, COUNT, PLACE))
        raise ConfigError(
            f"--distributed: {error} ({told}); start every process with {ADDRESS} (host:port of process 0), {COUNT} "
            f"and {PLACE} (from 0 on) in its environment"
        ) from error
    _check_devices()


def is_first_process() -> bool:
    """Tell whether this process is the one that writes; a process without others is."""
    return jax.process_index() == 0


def of_first_process(values: Any) -> Any:
    """Give every process the NumPy arrays of process 0; all processes have to call this together.

    What each process computes alone may differ by rounding, and then the processes would go on differently. If there
    is only one process, it keeps its own arrays.
    """
    return values if jax.process_count() == 1 else multihost_utils.broadcast_one_to_all(values)


def told_by_first_process(value: Any) -> Any:
    """Give every process the value of process 0, of which JSON can be made; all processes call this together."""
    if jax.process_count() == 1:
        return value
    text = json.dumps(value).encode()
    length = int(of_first_process(np.array(len(text), np.int32)))
    size = 1 << length.bit_length()  # few sizes, because each is a program of its own
    padded = np.frombuffer(text[:size].ljust(size), np.uint8)
    return json.loads(of_first_process(padded).tobytes()[:length])


@contextmanager
def in_step() -> Iterator[None]:
    """Let every process raise if one raises in this context, so that none waits for one that has ended.

    All processes enter it together, and wait for each other at its end; inside, none may wait for the others.

    Raises:
        OtherProcessError: this process had no fault, and another one had; the message quotes it.
    """
    if jax.process_count() == 1:
        yield
        return
    fault: Exception | None = None
    try:
        yield
    except Exception as error:
        fault = error
    line = "" if fault is None else f"{type(fault).__name__} {str(fault).partition(chr(10))[0]}"
    told = multihost_utils.process_allgather(np.frombuffer(line.encode()[:LINE].ljust(LINE), np.uint8))
    if fault is not None:
        raise fault
    for place, row in enumerate(told):
        if said := row.tobytes().decode(errors="replace").strip():
            kind, _, why = said.partition(" ")
            raise OtherProcessError(f"process {place} refused to go on: {why or kind}", kind)


def _check_devices() -> None:
    """Check that all processes have equally many devices, because each loads an equal part of a batch."""
    counts = Counter(device.process_index for device in jax.devices())
    if len(set(counts.values())) > 1:
        told = ", ".join(f"process {place} has {counts[place]}" for place in sorted(counts))
        raise ConfigError(
            f"--distributed: all processes need equally many devices, and {told}; hide devices of the others, e.g. by "
            f"CUDA_VISIBLE_DEVICES, or start processes with as many devices each"
        )


def _number(name: str) -> int | None:
    value = os.environ.get(name, "")
    if value and not value.isdecimal():
        raise ConfigError(f"--distributed: {name} is {value!r}; it must be a whole number of at least 0")
    return int(value) if value else None
