"""What `import man_jax` gives: two names, at once and without JAX, whichever of the commands is imported besides."""

import subprocess
import sys
from pathlib import Path

import pytest

import man_jax

ROOT = Path(__file__).parents[1]

TRAIN = """
import man_jax.training as training
training.train = lambda *arguments, **keywords: (arguments, keywords)
"""
CALL = """
assert man_jax.train("experiment", "folder", changes={}) == (("experiment", "folder"), {"changes": {}})
"""


def run(program: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def test_the_package_is_imported_without_any_library():
    slow = "('jax', 'numpy', 'flax', 'absl', 'grain', 'ml_collections')"
    run(f"import sys, man_jax; dir(man_jax); assert not [name for name in {slow} if name in sys.modules]")


def test_a_mistake_in_the_arguments_of_training_is_told_without_jax():
    run(
        "import sys, man_jax\n"
        "try: man_jax.train('configs/nowhere.py', 'runs/x')\n"
        "except ValueError as error: assert 'nowhere' in str(error)\n"
        "assert 'jax' not in sys.modules"
    )


@pytest.mark.parametrize(
    "imports",
    [
        "import man_jax",
        "import man_jax.train",
        "import man_jax; man_jax.train; import man_jax.train",
        "from man_jax import train; import man_jax",
        "import man_jax; from importlib import import_module; import_module('man_jax.train')",
        "import man_jax; import man_jax.train as train; assert callable(train)",
    ],
)
def test_train_is_the_function_in_whatever_order_the_command_is_imported(imports):
    run(f"{TRAIN}\n{imports}\n{CALL}")


def test_the_command_that_was_imported_is_still_a_module_with_its_main():
    run("import man_jax; man_jax.train; import man_jax.train\nassert callable(man_jax.train.main)")


def test_calling_the_function_defines_no_flag_of_the_command():
    run(f"{TRAIN}\nimport man_jax\n{CALL}\nfrom absl import flags; assert 'workdir' not in flags.FLAGS")


def test_all_names_are_listed_and_nothing_else_is_there():
    assert set(man_jax.__all__) == {"open_run", "train"} <= set(dir(man_jax))
    assert all(callable(getattr(man_jax, name)) for name in man_jax.__all__)
    with pytest.raises(AttributeError, match="no attribute 'tarin'"):
        man_jax.tarin  # noqa: B018
