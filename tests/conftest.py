"""Eight CPU devices for every test, no silent rank promotion, few and fixed property examples."""

import gc
import os

from tests.quick_programs import DEVICES, XLA_FLAGS

os.environ.setdefault("XLA_FLAGS", f"{XLA_FLAGS} {DEVICES}8")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# No command that a test starts starts itself again; `make test` gives all of them huge pages.
os.environ.setdefault("GLIBC_TUNABLES", "")

import hypothesis
import jax
import pytest

from data_pipelines.session.compilation import VARIABLE, keep_compiled_programs

keep_compiled_programs()
jax.config.update("jax_compilation_cache_dir", os.environ[VARIABLE])
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_disable_most_optimizations", True)

# Tracing makes so many small objects that looking for garbage among them takes an eighth of its time.
gc.set_threshold(100_000, 20, 100)

# No deadline: the first example of a shape pays for its compilation.
hypothesis.settings.register_profile("quick", max_examples=25, deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("quick")

SLOWEST = (
    "test_train.py",
    "test_stops.py",
    "test_processes.py",
    "test_step.py",
    "test_planned_runs.py",
    "test_contract.py",
    "test_notebook.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: item.path.name not in SLOWEST)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs():
    """Let each file's programs go with it: all of them together take gigabytes."""
    yield
    jax.clear_caches()
