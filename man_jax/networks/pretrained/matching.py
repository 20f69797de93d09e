"""Turn arrays with another library's names into the variables of one of our backbones, and back."""

from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path, tree_leaves_with_path, tree_unflatten

from man_jax.networks.pretrained.array_places import LibraryPlace, Path
from man_jax.networks.pretrained.conventions import (
    CONVENTIONS,
    Convention,
    Family,
    detect,
)
from man_jax.networks.pretrained.errors import WeightsError
from man_jax.networks.pretrained.other_arrays import is_known, momentum_copy, own_name
from man_jax.networks.pretrained.positions import resample_positions
from man_jax.networks.pretrained.unsupported_networks import describe_unsupported

Arrays = dict[str, np.ndarray]
COUNTER = "num_batches_tracked"
SHOWN = 6
"""How many names a message lists before it counts the rest."""


class MatchedWeights(NamedTuple):
    """The variables of a backbone, {params, batch_stats} without the modality axis, and how they were found."""

    variables: Any
    title: str
    prefix: str
    unused: tuple[str, ...]
    """Names in the file for which our network has no place, such as a classifier's, without those of a copy."""
    notes: tuple[str, ...] = ()
    """What the user should know: a copy of the network is left out, or the network differs from ours a little."""


def match_weights(
    arrays: Arrays, like: Any, *, family: Family, grid: tuple[int, int] | None = None
) -> MatchedWeights:
    """Put a file's arrays in the places of `like`, a tree of shapes {params, batch_stats} of one backbone.

    The arrays take the types of `like`, whatever those of the file are.

    The file must have all arrays of `like`, and no others but heads and what a trainer keeps. A stem with one input
    channel is spread over our three, a third each. The network then sees the mean of the channels, which for a grey
    image is the image itself. Position embeddings in the file are those of a square image, and are resampled to `grid`,
    the rows and columns of our patches.

    Raises:
        WeightsError: the file holds another network; the message names arrays that are missing, unknown or of a wrong
            shape.
    """
    convention, prefix, copy = _convention(arrays, family)
    leaves, structure = tree_flatten_with_path(like)
    taken, missing, misshaped, unusable, found = set(), [], [], [], []
    for path, leaf in leaves:
        place = convention.translate(_names(path))
        names = [prefix + name for name in place.names]
        absent = [name for name in names if name not in arrays]
        taken.update(names)
        if absent:
            missing += absent
            continue
        array = _ours([arrays[name] for name in names], place, leaf.shape, grid)
        if array.shape != leaf.shape:
            shapes = " and ".join(str(list(arrays[name].shape)) for name in names)
            wanted = [list(theirs.shape) for theirs in _theirs(np.empty(leaf.shape), place)]
            misshaped.append(f"{' and '.join(names)} is {shapes} instead of {' and '.join(map(str, wanted))}")
        elif not np.issubdtype(array.dtype, np.floating) and array.dtype != _BFLOAT16:
            unusable.append(f"{names[0]} is of {array.dtype}, not of floating-point numbers")
        elif not np.isfinite(array := array.astype(leaf.dtype)).all():
            unusable.append(f"{names[0]} holds numbers that are not finite")
        elif path[-1].key == "var" and np.any(array < 0):
            unusable.append(f"{names[0]} holds a variance below 0")
        elif place.zero_bias and np.any(arrays.get(bias := prefix + place.zero_bias, 0)):
            unusable.append(f"{bias} is not zero: a classifier's, not a projection's")
        found.append(array)
    unused = sorted(name for name in arrays.keys() - taken if not copy or not name.startswith(copy))
    problems = {
        "missing": missing,
        "mis-shaped": misshaped,
        "unusable": unusable,
        "left over": [name for name in unused if not _unneeded(name, arrays[name], prefix, convention)],
    }
    if any(problems.values()):
        _refuse_unsupported(arrays, convention, prefix)
        _refuse(problems, convention.title, prefix)
    notes = [f"{copy!r} is its running average and is left out"] if copy else []
    notes += [convention.note] if convention.note else []
    variables = tree_unflatten(structure, found)
    return MatchedWeights(variables, convention.title, prefix, tuple(unused), tuple(notes))


def to_library_arrays(variables: Any, *, title: str, family: Family) -> Arrays:
    """Give a backbone's variables {params, batch_stats}, without the modality axis, another library's names.

    Raises:
        ValueError: there is no convention of that title and family.
    """
    chosen = [c for c in CONVENTIONS if (c.title, c.family) == (title, family)]
    if not chosen:
        known = [(c.title, c.family) for c in CONVENTIONS]
        raise ValueError(f"there is no convention {title!r} of {family!r}; choose one of {known}")
    arrays = {}
    for path, leaf in tree_leaves_with_path(variables):
        place = chosen[0].translate(_names(path))
        parts = _theirs(np.asarray(leaf), place)
        arrays |= zip(place.names, parts, strict=True)
        if place.zero_bias:
            arrays[place.zero_bias] = np.zeros(len(parts[0]), parts[0].dtype)
    return arrays


def list_names(names: Iterable[str], shown: int = SHOWN) -> str:
    """List the first few names, and count the rest; counters of batches, which every norm has, come last."""
    names = sorted(names, key=lambda name: name.endswith(COUNTER))
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")


_BFLOAT16 = np.dtype("bfloat16")  # known to NumPy since jax, imported above, brings it


def _convention(arrays: Arrays, family: Family) -> tuple[Convention, str, str]:
    """Find the convention of a file, the prefix of the network, and that of a running average beside it, or ""."""
    detected = detect(list(arrays))
    fitting = [(convention, prefix) for convention, prefix in detected if convention.family == family]
    if len(fitting) == 1:
        return *fitting[0], ""
    if fitting:
        if pair := momentum_copy([prefix for _, prefix in fitting]):
            return next(convention for convention, prefix in fitting if prefix == pair[0]), *pair
        prefixes = ", ".join(repr(prefix) for _, prefix in fitting)
        raise WeightsError(
            f"the network is there {len(fitting)} times, under {prefixes}; save the one that is meant"
        )
    if detected:
        other, prefix = detected[0]
        _refuse_unsupported(arrays, other, prefix)
        raise WeightsError(
            f"this is a {other.family} with the names of {other.title}, and config.model.backbone is {family!r}; set "
            f"that to {other.family!r}, or name another file"
        )
    known = ", ".join(convention.title for convention in CONVENTIONS if convention.family == family)
    raise WeightsError(
        f"its names are not those of a {family} as known here ({known}); it begins with {list_names(arrays)}"
    )


def _refuse_unsupported(arrays: Arrays, convention: Convention, prefix: str) -> None:
    if what := describe_unsupported(arrays, prefix, family=convention.family, translate=convention.translate):
        raise WeightsError(what)


def _refuse(problems: dict[str, list[str]], title: str, prefix: str) -> NoReturn:
    told = "; ".join(
        f"{len(names)} {what}: {list_names(sorted(names))}" for what, names in problems.items() if names
    )
    inside = any(name.startswith(prefix) for name in problems["left over"])
    if inside or any(names for what, names in problems.items() if what != "left over"):
        raise WeightsError(
            f"it is not the network of config.model (names of {title}): {told}; set config.model to the network of "
            f"the file, or name another file"
        )
    raise WeightsError(
        f"the network of config.model is there behind {prefix!r} (names of {title}), but beside it is more than the "
        f"heads that are known here: {told}; if the network works without these, save it without them, otherwise name "
        f"another file"
    )


def _unneeded(name: str, array: np.ndarray, prefix: str, convention: Convention) -> bool:
    if is_known(name, array, prefix):
        return True
    if name.startswith(prefix):
        return name.endswith(COUNTER) or name.removeprefix(prefix).startswith(convention.unneeded)
    return own_name(name, prefix).startswith(convention.beside)


def _names(path: Any) -> Path:
    """Take a path without its collection, params or batch_stats, whose leaves have different names."""
    return tuple(keystr((entry,), simple=True) for entry in path[1:])


def _ours(
    arrays: list[np.ndarray], place: LibraryPlace, shape: tuple[int, ...], grid: tuple[int, int] | None
) -> np.ndarray:
    if len({array.shape[1:] for array in arrays}) > 1:
        return np.empty(0)  # what cannot be put together is of no shape that could be wanted
    array: np.ndarray = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    if place.leading and array.shape[: place.leading] == (1,) * place.leading:
        array = array.reshape(array.shape[place.leading :])
    if place.layout == "convolution" and array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)
        if array.shape[-2] == 1 and len(shape) == 4 and shape[2] == 3:
            array = np.repeat(array.astype(np.float32) / 3, 3, axis=2)
    elif place.layout == "linear" and array.ndim == 2:
        array = array.T
    elif place.layout == "positions" and array.ndim == 2 and grid is not None:
        array = resample_positions(array, grid)
    return array


def _theirs(array: np.ndarray, place: LibraryPlace) -> list[np.ndarray]:
    if place.layout == "convolution":
        array = array.transpose(3, 2, 0, 1)
    elif place.layout == "linear":
        array = array.T
    array = array.reshape((1,) * place.leading + array.shape)
    parts = [array] if len(place.names) == 1 else np.split(array, len(place.names))
    return [np.ascontiguousarray(part) for part in parts]
