"""The names of arrays in a file of a whole run: each branch's behind its modality's letter, its neck beside it.

A branch R of a ResNet has `R.layer1.0.conv1.weight` and so on, in another library's names, and its BNNeck has
`R.neck.weight`, `R.neck.running_mean` and `R.neck.running_var`.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.tree_util import keystr, tree_map_with_path

from man_jax.networks.pretrained.array_places import LEAVES
from man_jax.networks.pretrained.conventions import Family, detect
from man_jax.networks.pretrained.errors import WeightsError
from man_jax.networks.pretrained.matching import Arrays, match_weights, to_library_arrays

NECK = "neck"


def branch_letters(arrays: Arrays) -> list[str]:
    """List the modalities whose branches a file of a whole run has; none if it is a file of another kind."""
    prefixes = sorted({prefix.removesuffix(".") for _, prefix in detect(arrays)})
    return [letter for letter in prefixes if letter and f"{letter}.{NECK}.weight" in arrays]


def to_run_arrays(variables: Any, modalities: Sequence[str], *, title: str, family: Family) -> Arrays:
    """Name the arrays of every branch, whose variables {params, batch_stats} have the modality axis."""
    arrays = {}
    for place, letter in enumerate(modalities):

        def own(leaf: Any, place: int = place) -> np.ndarray:
            return np.asarray(leaf[place])

        branch = {name: jax.tree.map(own, variables[name]["branches"]) for name in ("params", "batch_stats")}
        backbone = {name: tree["backbone"] for name, tree in branch.items() if "backbone" in tree}
        named = to_library_arrays(backbone, title=title, family=family)
        neck = {
            f"{NECK}.{LEAVES[leaf]}": array for tree in branch.values() for leaf, array in tree[NECK].items()
        }
        arrays |= {f"{letter}.{name}": array for name, array in (named | neck).items()}
    return arrays


def match_run(
    arrays: Arrays,
    like: Any,
    modalities: Sequence[str],
    *,
    family: Family,
    grid: tuple[int, int] | None,
) -> dict[str, Any]:
    """Put the arrays of a whole run's file in the places of `like`, {params, batch_stats} of one branch.

    The result has the modality axis, in the order of `modalities`. `grid` is that of `match_weights`.

    Raises:
        WeightsError: a modality has no branch in the file, or its arrays are not those of the network.
    """
    there = branch_letters(arrays)
    if absent := [letter for letter in modalities if letter not in there]:
        raise WeightsError(
            f"it has the branches {', '.join(there)} and none of {', '.join(absent)}; "
            f"choose config.model.modalities among those, or name a file of one branch, with which all start"
        )
    backbones = {name: tree["backbone"] for name, tree in like.items() if "backbone" in tree}
    branches = []
    for letter in modalities:
        own = {name: array for name, array in arrays.items() if name.startswith(f"{letter}.")}
        branch = {name: {NECK: _neck(own, letter, tree[NECK])} for name, tree in like.items()}
        for name, tree in match_weights(own, backbones, family=family, grid=grid).variables.items():
            branch[name]["backbone"] = tree
        branches.append(branch)
    return jax.tree.map(lambda *leaves: np.stack(leaves), *branches)


def _neck(arrays: Arrays, letter: str, like: Any) -> Any:
    """Take the neck of a branch in the shapes of `like`."""

    def taken(path: Any, leaf: Any) -> np.ndarray:
        name = f"{letter}.{NECK}.{LEAVES[keystr(path[-1:], simple=True)]}"
        if name not in arrays or arrays[name].shape != leaf.shape:
            found = f"is {list(arrays[name].shape)}" if name in arrays else "is missing"
            raise WeightsError(f"{name} {found} and should be {list(leaf.shape)}; export the run again")
        if not np.isfinite(array := arrays[name].astype(leaf.dtype)).all():
            raise WeightsError(f"{name} holds numbers that are not finite; export the run again")
        return array

    return tree_map_with_path(taken, like)
