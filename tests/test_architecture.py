"""The house rules that a machine can check: who may import whom, and how long a file or a function may be."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from man_jax import methods

ROOT = Path(__file__).parents[1]
PACKAGES = ("man_jax", "data_pipelines", "configs")
STAND_IN = ROOT / "man_jax/configs/__init__.py"
"""In the repository it leads to the folder configs/."""
LEAVES = (
    "clustering",
    "costs",
    "losses",
    "memories",
    "neighbours",
    "networks",
    "objectives",
    "reporting",
    "retrieval",
)
GROUND = ("man_jax.array_math", "man_jax.layout")
"""What every room stands on; it stands on nothing of ours."""
BETWEEN_LEAVES = {
    "clustering": ("neighbours",),
    "retrieval": ("neighbours",),
    "memories": ("losses",),
    "losses": ("networks",),
    "objectives": ("losses", "memories", "networks"),
}
"""Clusters and re-ranked lists are made of neighbourhoods; L_ReID reads what the network says; the triplets of a
queue are triplets; an objective sums losses."""
LONGEST_FILE, LONGEST_FUNCTION = 400, 60
EVASIVE = {"utils", "util", "helpers", "common", "misc", "manager"}


def modules(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def imported(path: Path) -> Iterator[str]:
    """Full names of all that a file imports, inside functions too; `from a import b` counts as a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports by a relative name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def offences(paths: list[Path], *, only: tuple[str, ...] = (), never: tuple[str, ...] = ()) -> list[str]:
    """Imports of our own packages other than `only`, and any of `never`, as "file imports name"."""
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in paths
        for name in imported(path)
        if is_within(name, *never) or (is_within(name, *PACKAGES) and not is_within(name, *only))
    ]


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_leaf_knows_only_itself_and_the_ground(leaf):
    rooms = (leaf, *BETWEEN_LEAVES.get(leaf, ()))
    only = (*GROUND, *(f"man_jax.{room}" for room in rooms))
    assert offences(modules(f"man_jax/{leaf}"), only=only) == []


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_leaf_takes_plain_values_and_never_the_configuration(leaf):
    paths = modules(f"man_jax/{leaf}")
    assert offences(paths, only=PACKAGES, never=("ml_collections", "man_jax.config", "man_jax.configs")) == []


def test_the_ground_stands_on_nothing_of_ours():
    ground = [
        ROOT / "man_jax" / name
        for name in ("array_math.py", "keys.py", "layout.py", "randomness.py", "sharding.py")
    ]
    assert offences(ground) == []


def test_the_configuration_knows_of_methods_backbones_and_data_their_keys_and_names_only():
    paths = [ROOT / "man_jax" / "config.py", ROOT / "man_jax" / "methods" / "__init__.py"]
    names_only = (
        "man_jax.networks.backbone_traits",
        "man_jax.networks.msinet_keys",
        "data_pipelines.reading.records",
    )
    assert offences(paths, only=("man_jax.methods", "man_jax.keys", *names_only)) == []


BELOW_METHODS = (
    *GROUND,
    "man_jax.config",
    "man_jax.frame",
    "man_jax.keys",
    "man_jax.method_parts",
    "man_jax.randomness",
    *(f"man_jax.{leaf}" for leaf in LEAVES),
)


def test_a_method_stands_on_the_leaves_and_knows_no_engine_and_no_other_method():
    paths = [path for path in modules("man_jax/methods") if path.stem != "__init__"]
    assert paths
    assert offences(paths, only=BELOW_METHODS) == []


BELOW_RUNS = (
    *BELOW_METHODS,
    "man_jax.methods",
    "man_jax.runs",
    "man_jax.sharding",
    "man_jax.configs.default",  # which keys there are, and which of them a run may go on with other values of
    "data_pipelines",
)


def test_parts_of_methods_know_no_method():
    assert offences(modules("man_jax/method_parts"), only=BELOW_METHODS) == []


def test_what_keeps_a_run_knows_no_engine():
    assert offences(modules("man_jax/runs"), only=BELOW_RUNS) == []


BELOW_STUDIES = (*BELOW_RUNS, "man_jax.engine", "man_jax.studies", "man_jax.configs")


def test_studies_know_no_door():
    assert offences(modules("man_jax/studies"), only=BELOW_STUDIES) == []


def test_the_engine_knows_no_door_and_no_experiment():
    assert offences(modules("man_jax/engine"), only=(*BELOW_RUNS, "man_jax.engine")) == []


OF_METHODS = re.compile(
    r"bank|memory bank|prototype|\bcpa\b|\bpda\b|\bmma\b|teacher|queue|centre", re.IGNORECASE
)
"""Words of methods; the memory of a machine is not meant."""


def test_the_engine_names_no_method():
    named = {method: re.compile(rf"\b{method}\b") for method in methods.names()}
    told = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in modules("man_jax/engine")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if OF_METHODS.search(line) or any(name.search(line) for name in named.values())
    ]
    assert told == []


def test_data_pipelines_know_nothing_of_the_method():
    assert offences(modules("data_pipelines"), only=("data_pipelines",)) == []


def test_experiments_are_configuration_only():
    paths = modules("configs")
    assert offences(paths, only=("man_jax.configs", "man_jax.methods"), never=("jax", "numpy", "flax")) == []


def test_only_networks_are_written_in_linen():
    others = [path for path in modules(*PACKAGES) if path.parent.name != "networks"]
    assert offences(others, only=PACKAGES, never=("flax.linen", "flax.nnx")) == []


def test_nothing_imports_torch_or_tensorflow():
    assert offences(modules(*PACKAGES), only=PACKAGES, never=("torch", "torchvision", "tensorflow")) == []


def test_nothing_imports_what_one_system_only_has_to_lock_files():
    assert offences(modules(*PACKAGES), only=PACKAGES, never=("fcntl", "msvcrt")) == []


def test_the_experiments_have_one_name_which_a_wheel_has_too():
    others = [path for path in modules(*PACKAGES, "benchmarks", "tests") if path != STAND_IN]
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in others
        for name in imported(path)
        if is_within(name, "configs")
    ]
    assert wrong == [], "write man_jax.configs"


def test_the_package_imports_no_test():
    assert (
        offences(modules(*PACKAGES), only=PACKAGES, never=("tests", "benchmarks", "pytest", "hypothesis"))
        == []
    )


def test_what_measures_needs_no_test_but_the_oracles_and_the_other_libraries_networks():
    assert modules("benchmarks")
    never = tuple(
        f"tests.{path.relative_to(ROOT / 'tests').with_suffix('').as_posix().replace('/', '.')}"
        for path in modules("tests")
        if path.parent.name != "oracles" and path.stem != "libraries"
    )
    assert offences(modules("benchmarks"), only=PACKAGES, never=never) == []


@pytest.mark.parametrize("leaf", ["engine", *LEAVES])
def test_the_rooms_that_are_checked_exist(leaf):
    assert modules(f"man_jax/{leaf}")


# --- size and names


def test_no_file_is_longer_than_a_reader_s_patience():
    lengths = {
        p.relative_to(ROOT): len(p.read_text().splitlines())
        for p in modules(*PACKAGES, "tests", "benchmarks")
    }
    assert {str(path): length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_function_is_longer_than_a_screen():
    too_long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in modules(*PACKAGES, "tests", "benchmarks")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 > LONGEST_FUNCTION
    ]
    assert too_long == []


def test_no_module_has_a_name_that_says_nothing():
    assert [str(path) for path in modules(*PACKAGES, "tests", "benchmarks") if path.stem in EVASIVE] == []


def test_every_module_says_what_it_is():
    silent = [
        str(path.relative_to(ROOT))
        for path in modules(*PACKAGES, "benchmarks")
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []
