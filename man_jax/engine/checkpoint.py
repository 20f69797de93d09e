"""Saving and restoring the state, with Orbax: a save that was interrupted does not exist."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Mesh

from data_pipelines.disk import writing
from man_jax.config import ConfigError
from man_jax.engine.saving import saving
from man_jax.engine.sharding import put_replicated, replicated
from man_jax.engine.state import Statistics, TrainState
from man_jax.networks.three_branch import Variables

CHECKPOINTS = "checkpoints"
PRETRAINED = "pretrained"


def has_checkpoint(workdir: Path) -> bool:
    """Whether a run in `workdir` would go on rather than begin. Opens nothing, so that nothing is created."""
    return any(path.name.isdigit() for path in (workdir / CHECKPOINTS).glob("*"))


def open_checkpoints(workdir: Path, *, keep: int = 2) -> ocp.CheckpointManager:
    """The run's checkpoints by step, of which the last `keep` stay; leftovers of killed saves do not count."""
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep, cleanup_tmp_directories=True, enable_async_checkpointing=False
    )
    with writing(workdir / CHECKPOINTS):
        return ocp.CheckpointManager((workdir / CHECKPOINTS).absolute(), options=options)


def save_state(checkpoints: ocp.CheckpointManager, state: TrainState) -> None:
    """Save the state under its own step, once; DiskError if the disk refuses."""
    step = int(state.step)
    if checkpoints.latest_step() != step:
        folder = Path(checkpoints.directory)
        with saving(folder, inside=folder):
            checkpoints.save(step, args=ocp.args.StandardSave(state))


def last_saved(workdir: Path) -> int | None:
    """The step of the last checkpoint; None if there is none. May be asked while another thread saves."""
    steps = [int(path.name) for path in (workdir / CHECKPOINTS).glob("*") if path.name.isdigit()]
    return max(steps, default=None)


def restore_state(checkpoints: ocp.CheckpointManager, step: int, like: TrainState, mesh: Mesh) -> TrainState:
    """The state saved at `step`, on all devices; `like` gives its shapes, from this or another number of devices."""
    abstract = _abstract(like, mesh)
    return put_replicated(checkpoints.restore(step, args=ocp.args.StandardRestore(abstract)), mesh)


def save_pretrained(workdir: Path, state: TrainState) -> None:
    """Keep what pre-training learnt, for other runs' `config.pretrain.init_from`: all but the target's columns.

    DiskError if the disk refuses.
    """
    folder = workdir / PRETRAINED
    with saving(folder, inside=workdir), ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder.absolute(), _source_part(state), force=True)


def find_pretrained(workdir: Path) -> Path:
    """Where another run keeps what pre-training learnt; ConfigError if it left nothing."""
    folder = (workdir / PRETRAINED).absolute()
    if not folder.is_dir():
        raise ConfigError(
            f"config.pretrain.init_from: {folder} does not exist; name the work directory of a run that "
            f"finished pre-training"
        )
    return folder


def check_pretrained(workdir: Path, like: TrainState) -> None:
    """Compare the shapes of what another run's pre-training learnt with those of `like`; reads no array.

    Raises:
        ConfigError: that run left none, or they are of another network or of other source identities.
    """
    folder = find_pretrained(workdir)
    with ocp.StandardCheckpointer() as checkpointer:
        found = checkpointer.metadata(folder).item_metadata
    _check_shapes(found, jax.eval_shape(_source_part, like), folder)


def restore_pretrained(workdir: Path, like: TrainState, mesh: Mesh) -> TrainState:
    """`like`, with the pre-trained variables of another run, whatever its number of clusters was.

    Raises ConfigError as `check_pretrained` does.
    """
    check_pretrained(workdir, like)
    abstract = _abstract(jax.eval_shape(_source_part, like), mesh)
    with ocp.StandardCheckpointer() as checkpointer:
        found = put_replicated(checkpointer.restore(find_pretrained(workdir), abstract), mesh)
    num_source = like.banks.source.valid.shape[0]
    fresh = like.params["heads"]
    heads = jax.tree.map(lambda new, old: new.at[..., :num_source].set(old), fresh, found["params"]["heads"])
    params = {**found["params"], "heads": heads}
    return put_replicated(
        like.replace(params=params, statistics=Statistics(found["batch_stats"], found["batch_stats"])), mesh
    )


def read_last(workdir: Path) -> tuple[int, Variables]:
    """The step of the last checkpoint and the variables it has for the target, as NumPy arrays; no optimiser, no banks.

    Raises ConfigError if there is no checkpoint.
    """
    steps = [int(path.name) for path in (workdir / CHECKPOINTS).glob("*") if path.name.isdigit()]
    if not steps:
        raise ConfigError(f"{workdir / CHECKPOINTS} holds no checkpoint; name the work directory of a run")
    found = _read_part(
        workdir / CHECKPOINTS / str(max(steps)) / "default",
        lambda tree: {"params": tree["params"], "statistics": {"target": tree["statistics"]["target"]}},
    )
    return max(steps), {"params": found["params"], "batch_stats": found["statistics"]["target"]}


def read_pretrained(workdir: Path) -> Variables:
    """The pre-trained variables of a run, as NumPy arrays; ConfigError if it left none."""
    folder = workdir / PRETRAINED
    if not folder.is_dir():
        raise ConfigError(
            f"{folder} does not exist; name the work directory of a run that finished pre-training"
        )
    return _read_part(folder, lambda tree: {"params": tree["params"], "batch_stats": tree["batch_stats"]})


def _read_part(folder: Path, part: Callable[[Any], Any]) -> Any:
    """What `part` takes of a saved tree; nothing else is read."""
    # The handler itself: a Checkpointer warns of a file that checkpoints of a manager keep one folder above.
    handler: Any = ocp.PyTreeCheckpointHandler()
    with contextlib.closing(handler):
        directory = folder.absolute()
        wanted = part(handler.metadata(directory).tree)
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), wanted)
        kinds = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), like)
        arguments = ocp.args.PyTreeRestore(item=like, restore_args=kinds, partial_restore=True)
        return handler.restore(directory, args=arguments)


def _source_part(state: TrainState) -> Variables:
    """The variables without the heads' columns of target clusters, which pre-training does not teach."""
    num_source = state.banks.source.valid.shape[0]
    heads = jax.tree.map(lambda kernel: kernel[..., :num_source], state.params["heads"])
    return {"params": {**state.params, "heads": heads}, "batch_stats": state.statistics.source}


def _abstract(tree, mesh: Mesh):
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated(mesh)), tree
    )


def _check_shapes(found, wanted, folder: Path) -> None:
    def shapes(tree) -> dict[str, tuple[int, ...]]:
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        return {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in leaves}

    have, want = shapes(found), shapes(wanted)
    wrong = sorted(name for name in have.keys() | want.keys() if have.get(name) != want.get(name))
    if wrong:
        listed = ", ".join(f"{name} {have.get(name)} instead of {want.get(name)}" for name in wrong[:5])
        raise ConfigError(
            f"config.pretrain.init_from: {folder} does not fit this model: {listed} ({len(wrong)} in all); "
            f"use the model and the source it was trained with"
        )
