"""Deliberate faults, and whether the tests notice: python -m tests.mutations (half an hour on two cores).

Each fault of tests/faults.toml is put into a copy of the project, whose tests of the part are then run. A fault that
they let pass is a test that is missing. Run it after changing the tests of a formula; words of their names choose
some of the faults: python -m tests.mutations relabelling:
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PARTS = ("configs", "data_pipelines", "man_jax", "tests", "pyproject.toml")


class Fault(NamedTuple):
    """In the file, `right` becomes `wrong`; `tests` are to fail."""

    name: str
    file: str
    right: str
    wrong: str
    tests: str


FAULTS = [
    Fault(**fault)
    for fault in tomllib.loads((ROOT / "tests/faults.toml").read_text(encoding="utf-8"))["fault"]
]


def is_noticed(fault: Fault) -> bool:
    """Whether the fault's tests fail in a copy of the project that has it; they passed without."""
    with tempfile.TemporaryDirectory() as folder:
        for part in PARTS:
            source, copy = ROOT / part, Path(folder) / part
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy)
        path = Path(folder) / fault.file
        text = path.read_text(encoding="utf-8")
        if fault.right not in text:
            raise ValueError(f"{fault.name}: {fault.file} does not hold {fault.right!r} any more")
        path.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-x", fault.tests]
        environment = os.environ | {"PYTHONPATH": folder}
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
        if result.returncode not in (0, 1):
            raise RuntimeError(f"{fault.name}: the tests could not be run\n{result.stdout.decode()[-2000:]}")
        return result.returncode == 1


def main() -> None:
    """Try every fault, or those whose names hold the command's words; exit 1 if one goes unnoticed."""
    chosen = [fault for fault in FAULTS if all(word in fault.name for word in sys.argv[1:])]
    unnoticed = []
    for fault in chosen:
        noticed = is_noticed(fault)
        print(f"{'noticed' if noticed else 'NOT NOTICED':12}{fault.name}", flush=True)
        if not noticed:
            unnoticed.append(fault.name)
    print(f"{len(chosen) - len(unnoticed)} of {len(chosen)} faults noticed")
    sys.exit(bool(unnoticed))


if __name__ == "__main__":
    main()
