"""Deliberate faults, and whether the tests notice: python -m tests.mutations (half an hour on two cores).

Each fault of tests/faults.toml is put into a copy of the project, whose tests of the part are then run. A fault that
they let pass is a test that is missing. Run it after changing the tests of a formula; words of their names choose
some of the faults: python -m tests.mutations relabelling:

    python -m tests.mutations --sample 4 --seconds 60

tries the four faults whose turn it is at this commit, and begins none after 60 seconds.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PARTS = ("benchmarks", "configs", "data_pipelines", "docs", "man_jax", "tests", "README.md", "pyproject.toml")


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


def try_faults(faults: Iterable[Fault], root: Path = ROOT, *, seconds: float = float("inf")) -> Iterator[str]:
    """Say of each fault "noticed", "NOT NOTICED", "NOT TRIED" (its tests fail without it) or "not begun".

    Args:
        seconds: after this time the faults that are left are not begun.
    """
    end = time.monotonic() + seconds
    passes_unchanged: dict[str, bool] = {}
    for fault in faults:
        if time.monotonic() > end:
            yield "not begun"
            continue
        if fault.tests not in passes_unchanged:
            passes_unchanged[fault.tests] = passes(fault.tests, root)
        if not passes_unchanged[fault.tests]:
            yield "NOT TRIED"
        else:
            yield "NOT NOTICED" if passes(fault.tests, root, fault) else "noticed"


def passes(tests: str, root: Path, fault: Fault | None = None) -> bool:
    """Run the tests in a copy of the project, with the fault if there is one.

    Raises:
        ValueError: the fault's text is not in its file any more.
        RuntimeError: the tests neither passed nor failed: pytest could not run them.
    """
    with tempfile.TemporaryDirectory() as folder:
        for part in PARTS:
            if (root / part).is_dir():
                shutil.copytree(
                    root / part, Path(folder) / part, ignore=shutil.ignore_patterns("__pycache__")
                )
            else:
                shutil.copy(root / part, folder)
        if fault:
            _make(fault, Path(folder))
        # What a surrounding run of pytest tells its workers is not for this one.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", tests],
            cwd=folder,
            env=environment | {"PYTHONPATH": folder},
            capture_output=True,
            check=False,
        )
    if result.returncode not in (0, 1):
        told = fault.name if fault else "without a fault"
        raise RuntimeError(f"{told}: {tests} could not be run\n{result.stdout.decode()[-2000:]}")
    return result.returncode == 0


def _make(fault: Fault, folder: Path) -> None:
    path = folder / fault.file
    text = path.read_text(encoding="utf-8")
    if fault.right not in text:
        raise ValueError(f"{fault.name}: {fault.file} does not hold {fault.right!r} any more")
    path.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")


def sample(faults: Sequence[Fault], size: int, number: int) -> list[Fault]:
    """Choose `size` faults for a commit by its number, neighbours in the order of their tests.

    ceil(len(faults) / size) successive numbers choose every fault. When all have been chosen, each choice begins
    with another of its faults, so that time that runs out does not keep the same one from its turn for ever.
    """
    ordered = sorted(faults, key=lambda fault: fault.tests)
    choices = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    chosen = choices[number % len(choices)]
    first = number // len(choices) % len(chosen)
    return chosen[first:] + chosen[:first]


def commit_number(root: Path = ROOT) -> int:
    """Count the commits up to this one; where git does not know, the days of the calendar."""
    command = ["git", "-C", str(root), "rev-list", "--count", "HEAD"]
    shallow = [*command[:3], "rev-parse", "--is-shallow-repository"]
    try:
        if subprocess.check_output(shallow, text=True, stderr=subprocess.DEVNULL).strip() == "false":
            return int(subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL))
    except (OSError, subprocess.CalledProcessError):
        pass
    return datetime.now(UTC).toordinal()


def main() -> None:
    """Try the faults that are chosen; exit 1 if one goes unnoticed, or the tests of one fail without it."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description="Try deliberate faults.")
    parser.add_argument("words", nargs="*", help="of the names of the faults to try")
    parser.add_argument("--sample", type=int, metavar="N", help="try N of them, by the number of the commit")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="after these, begin no other fault"
    )
    flags = parser.parse_args()
    if flags.sample is not None and flags.sample < 1:
        parser.error(f"--sample {flags.sample}: try at least 1")
    chosen = [fault for fault in FAULTS if all(word in fault.name for word in flags.words)]
    if not chosen:
        parser.error(f"no fault has {' and '.join(flags.words)} in its name; see tests/faults.toml")
    if flags.sample:
        chosen = sample(chosen, flags.sample, commit_number())
    counts: Counter[str] = Counter()
    for fault, outcome in zip(chosen, try_faults(chosen, seconds=flags.seconds), strict=True):
        why = f": {fault.tests} fails without it" if outcome == "NOT TRIED" else ""
        print(f"{outcome:12}{fault.name}{why}", flush=True)
        counts[outcome] += 1
    print(f"{counts['noticed']} of {len(chosen)} faults noticed, {counts['not begun']} not begun")
    sys.exit(counts["NOT NOTICED"] + counts["NOT TRIED"] > 0)


if __name__ == "__main__":
    main()
