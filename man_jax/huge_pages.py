"""Let a command use huge pages of memory, which on a CPU take a third off the time of a training step.

XLA asks for the memory of a step anew at each step, so that the kernel maps and clears hundreds of megabytes in pages
of 4 KiB. glibc asks for pages of 2 MiB instead if GLIBC_TUNABLES says so when a process starts, and at no other time.
"""

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "GLIBC_TUNABLES"
SETTING = "glibc.malloc.hugetlb=1"
LEAST_GLIBC = (2, 35)
KERNEL = Path("/sys/kernel/mm/transparent_hugepage/enabled")
"""The kernel's choice, in brackets: `always`, `madvise` (whoever asks gets them) or `never`."""


def start_with_huge_pages() -> None:
    """Run this command again in this process, with huge pages, unless it has them or the system has none.

    Call it before anything slow is imported. Whoever sets GLIBC_TUNABLES, even to nothing, decides alone.
    """
    if not gains_from_asking(os.environ):
        return
    try:
        os.execve(sys.executable, sys.orig_argv, {**os.environ, VARIABLE: SETTING})
    except OSError:
        return  # It is a matter of speed only.


def gains_from_asking(environment: Mapping[str, str], kernel: Path = KERNEL) -> bool:
    """Tell whether huge pages come only if glibc asks for them, and nobody has decided about that."""
    return (
        VARIABLE not in environment and kernel_choice(kernel) == "madvise" and glibc_version() >= LEAST_GLIBC
    )


def kernel_choice(kernel: Path = KERNEL) -> str:
    """Read which processes get huge pages: always, madvise or never; "" if the system does not tell."""
    try:
        return kernel.read_text().partition("[")[2].partition("]")[0]
    except OSError:
        return ""


def glibc_version() -> tuple[int, ...]:
    """Give the version of glibc, or () if the system has another library."""
    library, version = platform.libc_ver()
    numbers = version.split(".") if library == "glibc" else []
    return tuple(int(number) for number in numbers if number.isdecimal())
