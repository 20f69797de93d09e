"""Find out what of a machine may stop or slow a run: devices, processor, memory, disk, cache, open files."""

import os
import platform
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data_pipelines.session.compilation import VARIABLE
from man_jax.huge_pages import KERNEL

GIB = 2**30
LEAST_PYTHON = (3, 11)
LEAST_MEMORY = 2 * GIB
"""Bytes; the demonstration takes about one GiB."""
LEAST_DISK = 5 * GIB
"""Bytes; a prepared data set and the checkpoints of a full-size run take some GiB."""
LARGEST_CACHE = 20 * GIB
LEAST_FILES = 1024
VECTORS = ("avx2", "fma")
"""Instructions without which XLA's loops and products take several times as long."""
DRIVER = Path("/proc/driver/nvidia/version")


class Finding(NamedTuple):
    """What was found of one thing; `remedy` says what to do if it is not well."""

    what: str
    ok: bool
    found: str
    remedy: str = ""


def line(finding: Finding) -> str:
    """Write a finding in one line."""
    remedy = f"; {finding.remedy}" if finding.remedy else ""
    return f"{'OK' if finding.ok else 'look at it':<12}{finding.what:<12}{finding.found}{remedy}"


def check_python(version: tuple[int, ...]) -> Finding:
    """Check the version of Python."""
    written, least = ".".join(map(str, version)), ".".join(map(str, LEAST_PYTHON))
    if version < LEAST_PYTHON:
        return Finding("Python", False, written, f"{least} or newer is needed; make another environment")
    return Finding("Python", True, written)


def list_processes(hosts: Sequence[str], folder: Path) -> Finding:
    """List the processes that have found each other, by their hosts; they also see one folder."""
    told = ", ".join(f"{host} ({number})" for host, number in Counter(hosts).items())
    return Finding("processes", True, f"{len(hosts)} on {told}; all see {folder}")


def check_devices(driver: Path = DRIVER) -> Finding:
    """Check which devices JAX has; it should use the machine's NVIDIA GPUs if there are any."""
    chosen = os.environ.get("JAX_PLATFORMS", "")
    try:
        import jax

        devices = jax.devices()
    except (ImportError, RuntimeError, AssertionError) as error:  # JAX has all three for a platform it lacks
        said = (str(error).splitlines() or ["JAX finds none"])[0]
        remedy = (
            f"JAX_PLATFORMS is {chosen!r}; unset it, or install what it names" if chosen else "install JAX"
        )
        return Finding("devices", False, said, remedy)
    kinds = sorted({f"{device.platform} ({device.device_kind})" for device in devices})
    found = f"{len(devices)} x {', '.join(kinds)}"
    if driver.exists() and devices[0].platform == "cpu" and "cpu" not in chosen.split(","):
        return Finding(
            "devices",
            False,
            f"{found}; there is an NVIDIA driver, and JAX does not use it",
            "pip install 'jax[cuda12]'",
        )
    return Finding("devices", True, found + (f"; JAX_PLATFORMS={chosen}" if chosen else ""))


def processor_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str] | None:
    """Read which instructions the processor has; None if it is no x86 or the system does not tell."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return None
    found = [line.partition(":")[2].split() for line in lines if line.startswith("flags")]
    return frozenset(found[0]) if found else None


def usable_cores() -> int:
    """Count the processor's cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_processor(flags: frozenset[str] | None, cores: int) -> Finding:
    """Check that the processor has the vector instructions that XLA makes use of."""
    found = f"{cores} cores, {platform.machine()}"
    if flags is None:
        return Finding("processor", True, found)
    if missing := [name for name in VECTORS if name not in flags]:
        remedy = "a run will be slow; choose another machine, or, of a virtual one, another CPU model"
        return Finding("processor", False, f"{found}, without {', '.join(missing)}", remedy)
    wide = [name for name in ("avx512f", "amx_tile") if name in flags]
    return Finding("processor", True, f"{found}, {', '.join([*VECTORS, *wide])}")


def check_memory(available: int) -> Finding:
    """Check the bytes of memory that are free, within the limits of a container."""
    found = f"{available / GIB:.1f} GiB free"
    if available < LEAST_MEMORY:
        remedy = f"{LEAST_MEMORY / GIB:.0f} GiB are needed for the demonstration; close programs"
        return Finding("memory", False, found, remedy)
    return Finding("memory", True, found)


def check_pages(kernel_choice: str) -> Finding:
    """Check that the kernel gives huge pages of memory to a command that asks for them, as ours do."""
    if kernel_choice == "never":
        remedy = "a step on the CPU takes half as long again; as root: echo madvise > " + str(KERNEL)
        return Finding("pages", False, "the kernel gives no huge pages", remedy)
    return Finding("pages", True, f"huge pages: {kernel_choice or 'the system does not tell'}")


def check_disk(folder: Path) -> Finding:
    """Check that there is room in a folder and that it can be written to."""
    free = shutil.disk_usage(folder).free
    found = f"{free / GIB:.1f} GiB free in {folder}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding("disk", False, f"{folder} cannot be written to", "work in another folder")
    if free < LEAST_DISK:
        remedy = (
            f"data and checkpoints may take {LEAST_DISK / GIB:.0f} GiB; free space, or choose another folder"
        )
        return Finding("disk", False, found, remedy)
    return Finding("disk", True, found)


def check_cache(named: str | None, in_use: str) -> Finding:
    """Check the folder of compiled programs: the one that the user named, and the one that the command chose."""
    if named == "":
        return Finding("cache", True, f"off: {VARIABLE} is empty, so every run compiles anew")
    if not in_use:
        remedy = f"name a folder by {VARIABLE}, or make it empty"
        return Finding("cache", False, "the folder of compiled programs cannot be written to", remedy)
    if "://" in in_use:
        return Finding("cache", True, in_use)
    files = [path.stat().st_size for path in Path(in_use).rglob("*") if path.is_file()]
    found = f"{in_use}, {len(files):,} files, {sum(files) / 2**20:,.0f} MiB"
    if sum(files) > LARGEST_CACHE:
        return Finding("cache", False, found, "it only saves compilations; delete it, or files long unused")
    return Finding("cache", True, found)


def open_file_limit() -> int | None:
    """Read how many files this process may open; None if the system has no such limit."""
    try:
        import resource
    except ImportError:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def check_open_files(limit: int | None) -> Finding:
    """Check how many files a process may open, since each shard and each loader process takes some."""
    if limit is None:
        return Finding("open files", True, "no limit")
    if limit < LEAST_FILES:
        return Finding(
            "open files", False, f"{limit} at most", f"raise the limit: ulimit -n {4 * LEAST_FILES}"
        )
    return Finding("open files", True, f"{limit:,} at most")
