"""Give the names that MSINet's public code has for the arrays of the network."""

import re

from man_jax.networks.pretrained.array_places import LibraryPlace, Path, module_place

OF_STAGE = 3
"""Entries of the list `cells` from one stage to the next: two cells and the reduction behind them."""


def msinet(path: Path) -> LibraryPlace:
    """Give the name as `conv1.conv.weight`, `cells.3.conv2b.0.bn.bias`, `cells.5.0.conv.weight`, `f_conv.weight`."""
    stage, *modules, leaf = path
    if stage == "stem":
        return module_place(".".join(("conv1", *modules)), leaf, convolution=True)
    before = OF_STAGE * (int(stage.removeprefix("layer")) - 1)
    module, *rest = modules
    if module == "halves":
        return module_place("f_conv", leaf, convolution=True)
    if module == "reduction":
        return module_place(".".join((f"cells.{before - 1}.0", *rest)), leaf, convolution=True)
    name = ".".join((f"cells.{before + int(module.removeprefix('cell'))}", *map(_of_cell, rest)))
    return LibraryPlace((f"{name}.gamma",)) if leaf == "gamma" else module_place(name, leaf, convolution=True)


def _of_cell(module: str) -> str:
    """Give the name of a module in a cell: conv2b0 is `conv2b.0`, op2 is `_op2`."""
    if module.startswith("op"):
        return f"_{module}"
    return re.sub(r"^(conv\d+b)(\d+)$", r"\1.\2", module)
