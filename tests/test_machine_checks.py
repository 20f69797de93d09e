"""Each check tells a machine that is well from one that is not, in one line with what to do."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from packaging.requirements import Requirement

from man_jax import installed_packages, machine_checks
from man_jax.installed_packages import check_extras, check_required, extras, problem, requirements
from man_jax.machine_checks import (
    GIB,
    check_cache,
    check_devices,
    check_disk,
    check_memory,
    check_open_files,
    check_pages,
    check_processor,
    check_python,
    line,
    processor_flags,
)
from tests.quick_programs import QUICK

# --- the machine


@pytest.mark.parametrize(
    ("well", "ill", "remedy"),
    [
        (check_python((3, 11, 0)), check_python((3, 10, 9)), "3.11 or newer"),
        (check_memory(8 * GIB), check_memory(GIB), "close programs"),
        (check_pages("madvise"), check_pages("never"), "echo madvise"),
        (check_open_files(1024), check_open_files(256), "ulimit -n 4096"),
        (check_open_files(None), check_open_files(1023), "ulimit -n"),
        (
            check_processor(frozenset({"avx2", "fma"}), 2),
            check_processor(frozenset({"fma"}), 2),
            "another machine",
        ),
        (check_processor(None, 8), check_processor(frozenset(), 8), "another machine"),
    ],
)
def test_a_finding_is_ok_or_says_what_to_do(well, ill, remedy):
    assert well.ok
    assert not ill.ok
    assert line(well).startswith("OK ")
    assert line(ill).startswith("look at it ")
    assert remedy in line(ill)
    assert "\n" not in line(ill)


def test_the_instructions_of_a_processor_are_read_where_the_system_tells_them(tmp_path):
    (tmp_path / "x86").write_text("processor : 0\nflags\t\t: fpu avx2 fma\n\nflags : other\n")
    (tmp_path / "arm").write_text("processor : 0\nFeatures : asimd\n")
    assert processor_flags(tmp_path / "x86") == {"fpu", "avx2", "fma"}
    assert processor_flags(tmp_path / "arm") is None
    assert processor_flags(tmp_path / "nothing") is None


def test_a_full_disk_and_one_that_cannot_be_written_to_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(machine_checks, "LEAST_DISK", 0)
    assert check_disk(tmp_path).ok
    monkeypatch.setattr(machine_checks, "LEAST_DISK", 2**80)
    assert "free space" in check_disk(tmp_path).remedy
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "cannot be written to" in check_disk(tmp_path).found


def test_the_cache_is_measured_and_one_that_is_switched_off_is_nothing_wrong(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    (tmp_path / "below/program").write_bytes(b"x" * 2**21)
    assert f"{tmp_path}, 1 files, 2 MiB" in check_cache(str(tmp_path), str(tmp_path)).found
    assert check_cache("", "").ok
    assert not check_cache("/where/nobody/writes", "").ok
    monkeypatch.setattr(machine_checks, "LARGEST_CACHE", 2**20)
    assert "delete it" in check_cache(None, str(tmp_path)).remedy


def test_a_driver_of_gpus_that_jax_does_not_use_is_told(tmp_path, monkeypatch):
    driver = tmp_path / "version"
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    assert check_devices(driver).ok
    driver.write_text("")
    assert "cuda12" in check_devices(driver).remedy
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert check_devices(driver).ok


@pytest.mark.parametrize("error", [RuntimeError("no cuda\nmore"), AssertionError()])
def test_a_platform_that_jax_does_not_have_is_told(error, monkeypatch):
    def refuse():
        raise error

    monkeypatch.setattr(jax, "devices", refuse)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    finding = check_devices()
    assert not finding.ok
    assert "JAX_PLATFORMS is 'cuda'; unset it" in line(finding)
    assert "\n" not in line(finding)


# --- the packages


def test_the_installed_packages_fit_what_is_required():
    assert all(finding.ok for finding in check_required(requirements()))


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("numpy>=2", None),
        ("numpy<1", r"numpy is [\d.]+, and <1 is needed"),
        ("no-such-package", "no-such-package is not installed"),
        ("jax[no-such-extra]", None),
    ],
)
def test_a_requirement_that_is_not_met_is_told_with_the_version(wanted, told):
    found = problem(Requirement(wanted))
    assert found is None if told is None else re.fullmatch(told, found)


def test_an_extra_of_a_package_is_met_by_what_it_requires(monkeypatch):
    wanted = {"a": ["b>=1; extra == 'fast'", "c"], "jax": []}
    versions = {"a": "1.0"}

    def version(name):
        if name not in versions:
            raise installed_packages.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(installed_packages.metadata, "requires", wanted.get)
    monkeypatch.setattr(installed_packages.metadata, "version", version)
    assert problem(Requirement("a")) is None
    assert problem(Requirement("a[fast]")) == "b is not installed"
    versions["b"] = "0.9"
    assert problem(Requirement("a[fast]")) == "b is 0.9, and >=1 is needed"


def test_flax_beyond_its_bound_is_the_line_of_jax_with_the_command(monkeypatch):
    version = installed_packages.metadata.version
    monkeypatch.setattr(
        installed_packages.metadata, "version", lambda name: "0.99" if name == "flax" else version(name)
    )
    numerics, others = check_required(requirements())
    assert "flax is 0.99, and <0.13,>=0.12 is needed; pip install 'flax<0.13,>=0.12'" in line(numerics)
    assert not numerics.ok
    assert others.ok


def test_jaxlib_is_held_against_what_jax_requires(monkeypatch):
    version = installed_packages.metadata.version
    monkeypatch.setattr(
        installed_packages.metadata, "version", lambda name: "0.1" if name == "jaxlib" else version(name)
    )
    assert "jaxlib is 0.1, and " in check_required(requirements())[0].found


def test_a_wheel_is_held_against_its_metadata(tmp_path, monkeypatch):
    told = ["jax>=0.8", "pyarrow>=20; extra == 'parquet'"]
    monkeypatch.setattr(installed_packages.metadata, "requires", lambda _: told)
    assert [each.name for each in requirements(tmp_path)] == ["jax"]
    assert installed_packages._of_extra("man_jax", "parquet")[0].name == "pyarrow"


def test_an_extra_that_is_not_installed_is_nothing_wrong_and_told():
    finding = check_extras({"this": [Requirement("numpy")], "that": [Requirement("no-such-package")]})
    assert finding.ok
    assert line(finding).endswith("this installed; for that: pip install 'man_jax[NAME]'")


def test_the_extras_are_those_of_users():
    assert {"parquet", "hub", "cuda12"} <= extras().keys()
    assert "dev" not in extras()


# --- the command


def test_the_command_prints_a_line_each_and_ends_with_1_if_one_asks_for_a_look(tmp_path):
    program = "import resource, runpy, sys; sys.argv[1:] = []; "
    program += "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)); "
    program += "runpy.run_module('man_jax.doctor', run_name='__main__', alter_sys=True)"
    environment = os.environ | QUICK | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", program]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    lines = result.stdout.splitlines()
    assert result.returncode == 1, result.stderr
    assert lines[-1].startswith("look at it  open files  256 at most; raise the limit")
    assert all(each.startswith(("OK  ", "look at it  ")) for each in lines)
    assert len(lines) == 11


def test_processes_are_counted_by_host():
    found = machine_checks.list_processes(["a", "a", "b"], Path("/shared"))
    assert (found.ok, found.found) == (True, "3 on a (2), b (1); all see /shared")
