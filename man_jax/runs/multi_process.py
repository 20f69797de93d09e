"""Let several processes train together, each with its own devices, on several hosts or on one."""

import os
from typing import Any

import jax
from jax.experimental import multihost_utils

from man_jax.config import ConfigError

ADDRESS, COUNT, PLACE = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
"""Environment variables: host:port of process 0, the number of processes, and the number of this one, from 0 on."""


def join_processes() -> None:
    """Connect this process with the others; call it before anything else of JAX.

    On TPU pods, under Slurm and under Open MPI, JAX itself finds what the environment does not name.

    Raises:
        ConfigError: something is missing or no number. If the others do not answer within five minutes, JAX ends the
            process by itself.
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


def of_first_process(values: Any) -> Any:
    """Give every process the NumPy arrays of process 0; all processes have to call this together.

    What each process computes alone may differ by rounding, and then the processes would go on differently. If there
    is only one process, it keeps its own arrays.
    """
    return values if jax.process_count() == 1 else multihost_utils.broadcast_one_to_all(values)


def _number(name: str) -> int | None:
    value = os.environ.get(name, "")
    if value and not value.isdecimal():
        raise ConfigError(f"--distributed: {name} is {value!r}; it must be a whole number of at least 0")
    return int(value) if value else None
