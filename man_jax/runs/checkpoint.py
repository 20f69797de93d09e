"""Save and restore the state with Orbax. A save that was interrupted does not count as a checkpoint."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from jax.sharding import Mesh

from data_pipelines.session.disk import writing
from man_jax.config import ConfigError
from man_jax.frame import ByDomain, Network, TrainState, part
from man_jax.layout import Places, divided_axis, place_name, put_laid_out, tree_shardings
from man_jax.networks.three_branch import Variables
from man_jax.runs.recovery import first_line, read_newest, saved_steps, warn_of
from man_jax.runs.saving import saving
from man_jax.runs.seal import is_sealed, seal_fault, write_seal
from man_jax.sharding import put_replicated, replicated

CHECKPOINTS = "checkpoints"
PRETRAINED = "pretrained"
FROM_COPY = "restore it from a copy, or name the work directory of another run"


def has_checkpoint(workdir: Path) -> bool:
    """Tell whether `workdir` has a checkpoint, from which a run would go on; creates no file."""
    return bool(saved_steps(workdir / CHECKPOINTS))


def open_checkpoints(workdir: Path, *, keep: int = 2) -> ocp.CheckpointManager:
    """Open the run's checkpoints by step; the last `keep` are kept, and what killed saves left is removed."""
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep, cleanup_tmp_directories=True, enable_async_checkpointing=False
    )
    with writing(workdir / CHECKPOINTS):
        return ocp.CheckpointManager((workdir / CHECKPOINTS).absolute(), options=options)


def save_state(
    checkpoints: ocp.CheckpointManager, state: TrainState, about: Mapping[str, Any] | None = None
) -> None:
    """Save the state under its own step, if that is not saved yet.

    A seal beside it allows to find damage later; it also holds `about`, which describes the weights. Raises DiskError
    if the disk refuses.
    """
    step = int(state.step)
    if checkpoints.latest_step() != step:
        folder = Path(checkpoints.directory)
        with saving(folder, inside=folder):
            checkpoints.save(step, args=ocp.args.StandardSave(state))
        _seal(folder / str(step), about)


def last_saved(workdir: Path) -> int | None:
    """Find the step of the last checkpoint; None if there is none. Another thread may be saving meanwhile."""
    return max(saved_steps(workdir / CHECKPOINTS), default=None)


def restore_state(
    checkpoints: ocp.CheckpointManager,
    step: int,
    like: TrainState,
    mesh: Mesh,
    *,
    places: Places | None = None,
    padded: Places | None = None,
) -> TrainState:
    """Restore the state saved at `step` on all devices; `like` gives its shapes.

    It may have been saved with another number of devices. `places`: the arrays that are divided among the devices;
    the others are whole on each. `padded`: those that may have been saved with more or fewer zeros at the end of that
    axis, because they were divided among other devices, or not at all.
    """
    if not padded:
        abstract = _abstract(like, mesh)
        return put_replicated(checkpoints.restore(step, args=ocp.args.StandardRestore(abstract)), mesh)
    folder = Path(checkpoints.directory) / str(step)
    strict = not differ_in_padding(saved_shapes(folder), like, padded)
    shardings = tree_shardings(like, mesh, places or {})
    abstract = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        like,
        shardings,
    )
    found = checkpoints.restore(step, args=ocp.args.StandardRestore(abstract, strict=strict))
    return put_laid_out(found, mesh, places) if places else put_replicated(found, mesh)


def differ_in_padding(saved: Mapping[str, tuple[int, ...]], like: TrainState, padded: Places) -> bool:
    """Tell whether saved shapes differ from those of `like`, and that only by the axes that may have padding."""
    differ = False
    for path, leaf in jax.tree_util.tree_leaves_with_path(like):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            continue  # it is saved as the words it consists of
        shape = saved.get(place_name(path), leaf.shape)
        if shape == leaf.shape:
            continue
        axis = divided_axis(path, padded)
        if axis is None or len(shape) != leaf.ndim:
            return False  # Orbax names the array
        others = [list(each) for each in (shape, leaf.shape)]
        for each in others:
            del each[axis]
        if others[0] != others[1]:
            return False
        differ = True
    return differ


def save_pretrained(
    workdir: Path, state: TrainState, about: Mapping[str, Any] | None = None, *, num_source: int
) -> None:
    """Save what pre-training learnt, for `config.pretrain.init_from` of other runs.

    The target's columns of the heads are left out. Raises DiskError if the disk refuses.
    """
    folder = workdir / PRETRAINED
    with saving(folder, inside=workdir), ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder.absolute(), _source_part(state, num_source), force=True)
    _seal(folder, about)


def _seal(folder: Path, about: Mapping[str, Any] | None) -> None:
    if jax.process_index() == 0:
        write_seal(folder, about or {})


def find_pretrained(workdir: Path) -> Path:
    """Find the folder in which another run saved what pre-training learnt; ConfigError if it is missing or damaged."""
    folder = (workdir / PRETRAINED).absolute()
    if not folder.is_dir():
        raise ConfigError(
            f"config.pretrain.init_from: {folder} does not exist; name the work directory of a run that "
            f"finished pre-training"
        )
    if fault := seal_fault(folder):
        raise ConfigError(f"config.pretrain.init_from: {folder} is damaged ({fault}); {FROM_COPY}")
    return folder


def check_pretrained(workdir: Path, like: TrainState, *, num_source: int) -> None:
    """Check that the pre-trained variables of another run have the shapes of `like`; reads no array.

    Raises:
        ConfigError: that run left none, or they belong to another network or to other source identities.
    """
    folder = find_pretrained(workdir)
    with _readable(folder, "config.pretrain.init_from: "), ocp.StandardCheckpointer() as checkpointer:
        found = checkpointer.metadata(folder).item_metadata
    _check_shapes(found, _source_shapes(like, num_source), folder)


def restore_pretrained(workdir: Path, like: TrainState, mesh: Mesh, *, num_source: int) -> TrainState:
    """Put the pre-trained variables of another run into `like`; that run may have had another number of clusters.

    Raises ConfigError as `check_pretrained` does.
    """
    check_pretrained(workdir, like, num_source=num_source)
    abstract = _abstract(_source_shapes(like, num_source), mesh)
    folder = find_pretrained(workdir)
    with _readable(folder, "config.pretrain.init_from: "), ocp.StandardCheckpointer() as checkpointer:
        found = put_replicated(checkpointer.restore(folder, abstract), mesh)
    statistics = ByDomain(found["batch_stats"], found["batch_stats"])
    return put_replicated(_begun_from(like, found["params"], statistics, num_source), mesh)


def restore_adapted(
    workdir: Path, network: Network, like: TrainState, mesh: Mesh, *, num_source: int
) -> TrainState:
    """Put the adapted variables of another run's newest whole checkpoint into `like`.

    That run may have had another number of clusters. `network`: where the variables are in its state. Raises
    ConfigError if it left no checkpoint, or none that fits.
    """
    step, source, target = read_network(workdir, network)
    # Only the source's columns have the same meaning here: the target's labels are new in each epoch.
    heads = jax.tree.map(lambda kernel: kernel[..., :num_source], target["params"]["heads"])
    params = {**target["params"], "heads": heads}
    folder = workdir / CHECKPOINTS / str(step)
    for variables in (source, target):
        have = {"params": params, "batch_stats": variables["batch_stats"]}
        _check_shapes(have, _source_shapes(like, num_source), folder, key="config.adapt.init_from")
    statistics = ByDomain(source["batch_stats"], target["batch_stats"])
    return put_replicated(_begun_from(like, params, statistics, num_source), mesh)


def _begun_from(
    like: TrainState, params: Variables, statistics: ByDomain[Variables], num_source: int
) -> TrainState:
    """Give `like` other variables; of its heads only the source's columns are replaced."""
    heads = jax.tree.map(
        lambda new, old: new.at[..., :num_source].set(old), like.params["heads"], params["heads"]
    )
    return like.replace(params={**params, "heads": heads}, statistics=statistics)


def read_network(workdir: Path, network: Network) -> tuple[int, Variables, Variables]:
    """Read the newest whole checkpoint: its step, and its network's variables for source and target, as NumPy arrays.

    The optimiser and the rest of the state are not read. The log names damaged checkpoints that are passed over. Raises
    ConfigError if there is no checkpoint, or none that is whole.
    """
    folder = workdir / CHECKPOINTS

    paths = (network.params, network.source, network.target)

    def read(step: int) -> Any:
        return _read_part(folder / str(step) / "default", lambda tree: _only(tree, *paths))

    step, found, passed = read_newest(folder, read)
    warn_of(passed, folder, step)
    return step, network.variables(found, "source"), network.variables(found, "target")


def whole_checkpoints(workdir: Path) -> list[int]:
    """List the steps of all kept checkpoints that are whole as far as their seals tell, the first one first.

    The log names the damaged ones. Raises ConfigError if there is no checkpoint, or none that is whole.
    """
    folder = workdir / CHECKPOINTS
    faults = {step: seal_fault(folder / str(step)) for step in reversed(saved_steps(folder))}
    whole = [step for step, fault in faults.items() if not fault]
    if not whole:
        read_newest(folder, lambda step: step)  # it finds none either, and says so
    for step in faults.keys() - set(whole):
        logging.warning(
            "the checkpoint of step %d in %s is damaged (%s); it is left out", step, folder, faults[step]
        )
    return whole


def read_network_at(workdir: Path, step: int, network: Network) -> Variables:
    """Read the network's variables for the target from the checkpoint of a step, as NumPy arrays.

    Raises ConfigError if they cannot be read and no seal proves them whole.
    """
    folder = workdir / CHECKPOINTS / str(step)
    paths = (network.params, network.target)
    with _readable(folder):
        return network.variables(_read_part(folder / "default", lambda tree: _only(tree, *paths)), "target")


def read_pretrained(workdir: Path) -> Variables:
    """Read the pre-trained variables of a run as NumPy arrays; ConfigError if they are missing or damaged."""
    folder = workdir / PRETRAINED
    if not folder.is_dir():
        raise ConfigError(
            f"{folder} does not exist; name the work directory of a run that finished pre-training"
        )
    if fault := seal_fault(folder):
        raise ConfigError(f"{folder} is damaged ({fault}); {FROM_COPY}")
    with _readable(folder):
        return _read_part(folder, lambda tree: {"params": tree["params"], "batch_stats": tree["batch_stats"]})


@contextlib.contextmanager
def _readable(folder: Path, key: str = "") -> Iterator[None]:
    """Turn an error of Orbax into a ConfigError of one line, if the folder has no seal that proves it whole."""
    try:
        yield
    except Exception as error:
        if is_sealed(folder):
            raise
        raise ConfigError(f"{key}{folder} is damaged ({first_line(error)}); {FROM_COPY}") from None


def saved_fields(folder: Path) -> set[str]:
    """Name the fields of the state that the checkpoint in `folder` holds; reads no array."""
    handler: Any = ocp.PyTreeCheckpointHandler()
    with contextlib.closing(handler):
        return set(handler.metadata((folder / "default").absolute()).tree)


def saved_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """List the shapes of the arrays of the checkpoint in `folder` by their places; reads no array."""
    handler: Any = ocp.PyTreeCheckpointHandler()
    with contextlib.closing(handler):
        tree = handler.metadata((folder / "default").absolute()).tree
    return {place_name(path): tuple(leaf.shape) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _read_part(folder: Path, part: Callable[[Any], Any]) -> Any:
    """Read only that part of a saved tree which the function `part` chooses."""
    # Not by a Checkpointer: it warns of a missing file, which a manager keeps one folder above.
    handler: Any = ocp.PyTreeCheckpointHandler()
    with contextlib.closing(handler):
        directory = folder.absolute()
        wanted = part(handler.metadata(directory).tree)
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), wanted)
        kinds = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), like)
        arguments = ocp.args.PyTreeRestore(item=like, restore_args=kinds, partial_restore=True)
        return handler.restore(directory, args=arguments)


def _only(tree: Any, *paths: tuple[str, ...]) -> dict[str, Any]:
    """Take the parts at these paths out of a saved tree, each at its old place, by which Orbax finds it."""
    kept: dict[str, Any] = {}
    for path in paths:
        place = kept
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = part(tree, path)
    return kept


def _source_part(state: TrainState, num_source: int) -> Variables:
    """Take the variables without the heads' columns of target clusters, which pre-training does not train."""
    heads = jax.tree.map(lambda kernel: kernel[..., :num_source], state.params["heads"])
    return {"params": {**state.params, "heads": heads}, "batch_stats": state.statistics.source}


def _source_shapes(state: TrainState, num_source: int) -> Variables:
    return jax.eval_shape(partial(_source_part, num_source=num_source), state)


def _abstract(tree, mesh: Mesh):
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated(mesh)), tree
    )


def _check_shapes(found, wanted, folder: Path, *, key: str = "config.pretrain.init_from") -> None:
    def shapes(tree) -> dict[str, tuple[int, ...]]:
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        return {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in leaves}

    have, want = shapes(found), shapes(wanted)
    wrong = sorted(name for name in have.keys() | want.keys() if have.get(name) != want.get(name))
    if wrong:
        listed = ", ".join(f"{name} {have.get(name)} instead of {want.get(name)}" for name in wrong[:5])
        raise ConfigError(
            f"{key}: {folder} does not fit this model: {listed} ({len(wrong)} in all); "
            f"use the model and the source it was trained with"
        )
