"""How much memory this process can still have: of the machine, and of the control group it is kept in."""

import os
from collections.abc import Iterator
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
MEMBERSHIP = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")


def available_memory(meminfo: Path = MEMINFO, membership: Path = MEMBERSHIP, groups: Path = GROUPS) -> int:
    """Bytes that can be had without swapping or being killed: the least of what the machine and its groups leave.

    Containers and schedulers keep a process in control groups, each within those above it (cgroup v2).
    """
    return min([_left_by_machine(meminfo), *_left_by_groups(membership, groups)])


def _left_by_machine(meminfo: Path) -> int:
    """Where the system does not tell, half of all there is."""
    for line in _read(meminfo).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _left_by_groups(membership: Path, groups: Path) -> Iterator[int]:
    """What each group of the process leaves that has a limit; a container sees its own group as the root."""
    names = [line[3:] for line in _read(membership).splitlines() if line.startswith("0::")]
    own = groups / "".join(names).strip("/")
    for group in (own, *own.parents):
        if group.is_relative_to(groups) and (limit := _read(group / "memory.max").strip()).isdecimal():
            yield max(0, int(limit) - _in_use(group))


def _in_use(group: Path) -> int:
    """Bytes counted for the group without those of files read once, which the kernel takes back before it kills."""
    used = int(_read(group / "memory.current") or 0)
    statistics = dict(line.split() for line in _read(group / "memory.stat").splitlines())
    return used - int(statistics.get("inactive_file", 0))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
