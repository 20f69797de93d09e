"""Memory that is left: the least of what the machine and the control groups say, as their files have it."""

from pathlib import Path

import pytest

from data_pipelines.loading.free_memory import available_memory

GIB = 2**30


def machine(base: Path, *, gib: int = 16, membership: str = "0::/\n") -> dict[str, Path]:
    paths = {name: base / name for name in ("meminfo", "membership", "groups")}
    paths["meminfo"].write_text(f"MemTotal: 99 kB\nMemAvailable:   {gib * 2**20} kB\n")
    paths["membership"].write_text(membership)
    paths["groups"].mkdir()
    return paths


def group(folder: Path, limit: int | str, current: int, inactive: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{current}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\nactive_file 7\n")


@pytest.mark.parametrize(
    ("limit", "current", "inactive", "left"),
    [
        (8 * GIB, 3 * GIB, 0, 5 * GIB),
        (8 * GIB, 7 * GIB, 4 * GIB, 5 * GIB),  # what was read of files can be had back
        (8 * GIB, 9 * GIB, 0, 0),
        (32 * GIB, 3 * GIB, 0, 16 * GIB),  # more than the machine has
        ("max", 3 * GIB, 0, 16 * GIB),
    ],
)
def test_a_container_has_the_smaller_of_its_own_and_the_machine_s(tmp_path, limit, current, inactive, left):
    paths = machine(tmp_path)
    group(paths["groups"], limit, current, inactive)
    assert available_memory(**paths) == left


def test_a_group_is_kept_within_those_above_it(tmp_path):
    paths = machine(tmp_path, membership="1:name=systemd:/other\n0::/jobs/job_7/step_0\n")
    group(paths["groups"] / "jobs/job_7/step_0", "max", GIB)
    group(paths["groups"] / "jobs/job_7", 4 * GIB, GIB)
    group(paths["groups"] / "jobs", 6 * GIB, 5 * GIB)
    group(paths["groups"] / "other", GIB, GIB)
    assert available_memory(**paths) == GIB


def test_a_group_named_from_outside_the_container_is_looked_for_as_far_as_it_is_seen(tmp_path):
    paths = machine(tmp_path, membership="0::/docker/1abfb5\n")
    group(paths["groups"], 4 * GIB, GIB)
    assert available_memory(**paths) == 3 * GIB


def test_what_cannot_be_read_is_no_limit(tmp_path):
    paths = machine(tmp_path)
    assert available_memory(**paths) == 16 * GIB
    paths["membership"].unlink()
    (paths["groups"] / "memory.max").write_text(f"{4 * GIB}")
    assert available_memory(**paths) == 4 * GIB


def test_a_system_that_does_not_tell_has_half_of_all_there_is(tmp_path):
    gone = tmp_path / "gone"
    assert available_memory(gone, gone, gone) > 10**6
    assert available_memory() > 10**6
