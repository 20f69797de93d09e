"""Measure how much memory this process can still take, of the machine and of its control groups."""

import os
from collections.abc import Iterator
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
MEMBERSHIP = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")


def available_memory(meminfo: Path = MEMINFO, membership: Path = MEMBERSHIP, groups: Path = GROUPS) -> int:
    """Measure how many bytes this process can take without swapping or being killed.

    This is the smallest of what the machine and the control groups of the process leave. Containers and schedulers put
    a process into such groups, each inside another one (cgroup v2).
    """
    return min([_left_by_machine(meminfo), *_left_by_groups(membership, groups)])


def _left_by_machine(meminfo: Path) -> int:
    """Read the free memory of the machine; half of all memory if the system does not tell."""
    for line in _read(meminfo).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _left_by_groups(membership: Path, groups: Path) -> Iterator[int]:
    """Yield what each control group with a limit leaves; a container sees its own group as the root."""
    names = [line[3:] for line in _read(membership).splitlines() if line.startswith("0::")]
    own = groups / "".join(names).strip("/")
    for group in (own, *own.parents):
        if group.is_relative_to(groups) and (limit := _read(group / "memory.max").strip()).isdecimal():
            yield max(0, int(limit) - _in_use(group))


def _in_use(group: Path) -> int:
    """Read the bytes that a group uses, without cached files, which the kernel frees before it kills a process."""
    used = int(_read(group / "memory.current") or 0)
    statistics = dict(line.split() for line in _read(group / "memory.stat").splitlines())
    return used - int(statistics.get("inactive_file", 0))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
