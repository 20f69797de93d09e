"""Run a command in several processes, so that an error of one of them ends all of them soon."""

import os
import re
import sys
import time
import traceback
from collections.abc import Callable

GRACE = 1.0
"""Seconds that process 0 stays, because with it the service ends without which the others cannot end in order."""

LOST = re.compile(
    "gloo|nccl|connection|unavailable|deadline|barrier|heartbeat|coordination|cancelled", re.IGNORECASE
)
"""Words of an error of JAX that tells of another process, and not of this one."""


def run_joined(main: Callable[[], None], told: tuple[type[Exception], ...]) -> None:
    """Join the processes that the environment names, and run `main`; an error ends this process with status 1.

    JAX lets a process that ends wait up to five minutes for the others, which may be waiting for it in their turn. So
    after an error this process ends at once and waits for nobody; the others fail when they next compute together.

    `told`: the errors whose message is all that a user needs.
    """
    try:
        from man_jax.runs.multi_process import join_processes

        join_processes()
        main()
    except Exception as error:
        words = last_words(error, told)
        sys.stdout.flush()
        sys.stderr.write(words)
        sys.stderr.flush()
        if os.environ.get("JAX_PROCESS_ID", "0") == "0":
            time.sleep(GRACE)
        os._exit(1)


def last_words(error: Exception, told: tuple[type[Exception], ...]) -> str:
    """Write what the user needs to know of an error that ends a process of several."""
    if isinstance(error, told):
        return "".join(f"error: {line}\n" for line in str(error).splitlines())
    first = str(error).partition("\n")[0]
    if type(error).__name__ == "JaxRuntimeError" and LOST.search(first):
        return (
            f"error: another process has ended, or cannot be reached any more ({first}); what is finished is kept, "
            f"and the same command, started on all hosts again, goes on\n"
        )
    return "".join(traceback.format_exception(error))
