"""The wheel, installed into an empty folder and used from another one, as somebody without the repository has it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.quick_programs import QUICK

ROOT = Path(__file__).parents[1]
SOURCES = ("man_jax", "data_pipelines", "configs")
BUILT_FROM = (*SOURCES, "pyproject.toml", "requirements.txt", "README.md", "LICENSE")
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q"]
LINES, COLUMNS = 24, 80


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that nothing of an earlier build is in it."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / "copy" / name)
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*PIP, "wheel", *offline, "-w", str(folder), str(folder / "copy")], check=True)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    subprocess.run([*PIP, "install", "--no-deps", "--no-index", "--target", target, wheel], check=True)
    return target


@pytest.fixture
def man_jax(installed, tmp_path):
    """Run the installed command in an empty folder."""

    def run(*words: str) -> subprocess.CompletedProcess:
        environment = os.environ | QUICK | {"PYTHONPATH": str(installed)}
        command = [str(installed / "bin/man-jax"), *words]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    return run


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


# --- what is in it


def test_the_wheel_brings_two_packages_and_none_of_them_is_called_configs(wheel):
    tops = {name.split("/")[0] for name in names_in(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"man_jax", "data_pipelines"}


def test_every_file_of_the_packages_is_in_the_wheel(wheel):
    there = {
        path.relative_to(ROOT).as_posix()
        for source in SOURCES
        for path in (ROOT / source).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    wanted = {f"man_jax/{name}" if name.startswith("configs/") else name for name in there}
    assert wanted - names_in(wheel) == set()
    assert "man_jax/configs/demo_start.safetensors" in wanted


def test_the_experiments_of_the_wheel_are_the_repository_s(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = archive.read("man_jax/configs/__init__.py")
    assert inside == (ROOT / "configs/__init__.py").read_bytes()


# --- how it is used from another folder


def test_the_help_fits_a_screen_and_names_the_next_step(man_jax):
    result = man_jax("--help")
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= COLUMNS
    assert "To begin: man-jax data draw" in lines[-1]
    assert all(f"  {name} " in result.stdout for name in ("train", "evaluate", "reproduce", "export", "data"))


def test_an_experiment_is_found_by_its_name_and_variant(man_jax):
    result = man_jax("config", "--config", "rgbnt100_to_wmveid863:mmt+smoke", "--diff")
    assert "config.method = mmt  (default man)" in result.stdout
    assert "config.data.image_size = (32, 32)  (default (256, 128))" in result.stdout


def test_a_mistake_in_an_experiment_is_one_line(man_jax):
    result = man_jax("train", "--config", "demo:smoke", "--config.man.apha=1")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "error: there is no key config.man.apha; did you mean config.man.alpha? (all keys: configs/default.py)"
    ]


def test_a_run_reads_the_weights_of_the_wheel_before_it_asks_for_the_data(man_jax):
    result = man_jax("train", "--config", "demo")
    assert result.returncode == 1
    assert "data/synthetic" in result.stderr.splitlines()[-1]
    assert "demo_start" not in result.stderr


def test_the_page_of_a_data_set_is_in_the_wheel(installed):
    assert (installed / "data_pipelines/contact_sheet/page.html").is_file()
