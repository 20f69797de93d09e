"""Take single functions and classes out of the files of a method's public code, and print how far ours are from them.

Only the definitions that are asked for are run, so the code's other libraries need not be installed.
"""

import argparse
import ast
import contextlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

Case = Mapping[str, tuple[Any, Any]]
"""By formula: our value and that of the public code."""


def code_folder(description: str | None) -> Path:
    """Read the folder of the public code from the command line."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--code", type=Path, required=True, help="the folder of a checkout of the public code"
    )
    return parser.parse_args().code


@cache
def definitions(file: Path, *names: str) -> SimpleNamespace:
    """Run the functions and classes of these names, wherever in the file they are defined.

    Raises:
        SystemExit: the file is not there, or has no such definition.
    """
    if not file.is_file():
        raise SystemExit(
            f"{file}: there is no such file; --code is the folder of a checkout of the public code"
        )
    namespace: dict[str, Any] = {
        "torch": torch,
        "nn": torch.nn,
        "autograd": torch.autograd,
        "F": torch.nn.functional,
        "ABC": object,
        "np": np,
        "math": math,
        "collections": __import__("collections"),
    }
    nodes = (node for tree in _parsed(file) for node in ast.walk(tree))
    found = {node.name: node for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for name in names:
        if name not in found:
            raise SystemExit(f"{file}: it has no {name}; the checkout is of another version")
        node = found[name]
        node.decorator_list = []
        exec(compile(ast.Module([node], type_ignores=[]), str(file), "exec"), namespace)
    return SimpleNamespace(**{name: namespace[name] for name in names})


def _parsed(file: Path) -> list[ast.Module]:
    """Parse a file, or, where it has a mistake, those of its outermost definitions that have none."""
    text = file.read_text(encoding="utf-8")
    try:
        return [ast.parse(text)]
    except SyntaxError:
        print(f"{file}: it does not parse as it is; only the definitions that do are read")
    trees = []
    for block in re.split(r"^(?=def |class )", text, flags=re.MULTILINE):
        with contextlib.suppress(SyntaxError):
            trees.append(ast.parse(block))
    return trees


def report(compare: Callable[[int], Case], seeds: Iterable[int]) -> None:
    """Print the largest difference of each formula over the cases of these seeds, in a table of Markdown."""
    largest: dict[str, float] = {}
    seeds = list(seeds)
    for seed in seeds:
        for formula, (ours, theirs) in compare(seed).items():
            theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else np.asarray(theirs)
            difference = float(np.max(np.abs(np.asarray(ours, np.float64) - theirs), initial=0.0))
            largest[formula] = max(largest.get(formula, 0.0), difference)
    print("| formula | largest difference | cases |\n|---|---:|---:|")
    for formula, difference in largest.items():
        print(f"| {formula} | {difference:.1e} | {len(seeds)} |")
