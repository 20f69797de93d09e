"""Keep compiled programs on disk, so that a second run starts at once, and tell the user of a long compilation."""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_pipelines.session.progress import between_bars

VARIABLE = "JAX_COMPILATION_CACHE_DIR"
"""The environment variable that names the folder of compiled programs; "" keeps none. JAX reads it when it is first
imported."""

LEAST = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
"""The environment variable that says how many seconds a program must have compiled to be kept."""


def keep_compiled_programs() -> None:
    """Set a folder for compiled programs, unless the environment names one; go on without if it cannot be written to.

    Short programs are kept too: a run has about a hundred of them, and compiling them anew takes seconds of each start.
    Call it before anything imports JAX. JAX itself keeps apart programs of other versions and other processors.
    """
    named = os.environ.get(VARIABLE)
    if named == "" or "://" in (named or ""):
        return
    try:
        folder = Path(named).expanduser() if named else default_folder()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        os.environ[VARIABLE] = str(folder)
        os.environ.setdefault(LEAST, "0")
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        os.environ[VARIABLE] = ""
        print(
            f"compiled programs are not kept for the next run ({error}); name a folder that can be written by "
            f"{VARIABLE}, or make it empty",
            file=sys.stderr,
        )


def default_folder() -> Path:
    """Find man_jax/jax below the user's cache; RuntimeError if the user has no home."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG standard says that a relative path is ignored.
    return (base if base.is_absolute() else Path.home() / ".cache") / "man_jax" / "jax"


def is_kept() -> bool:
    """Tell whether JAX keeps compiled programs."""
    import jax  # slow, but whoever compiles has imported it already

    return bool(jax.config.values["jax_compilation_cache_dir"])


def say(line: str) -> None:
    """Write a line to stderr, above the progress bars."""
    with between_bars():
        print(line, file=sys.stderr, flush=True)


@contextmanager
def compiling(name: str, *, say: Callable[[str], None] = say) -> Iterator[Callable[[], float]]:
    """Tell that this context compiles a program, which may take minutes, and afterwards how long it took.

    Yields a function that returns the seconds of the compilation, or those so far.
    """
    kept = "; cached for next time" if is_kept() else ""
    say(f"compiling {name}, once{kept}")
    start = time.monotonic()
    seconds: list[float] = []
    yield lambda: seconds[0] if seconds else time.monotonic() - start
    seconds.append(time.monotonic() - start)
    say(f"compiled {name} in {seconds[0]:.0f} s")


def is_compiled(function: Callable[..., Any]) -> bool:
    """Tell whether the function is compiled already; one that is not jitted counts as compiled."""
    size = getattr(function, "_cache_size", None)
    return size is None or size() > 0
