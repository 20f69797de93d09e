"""Saving and restoring the state, with Orbax: a save that was interrupted does not exist."""

from pathlib import Path

import jax
import orbax.checkpoint as ocp
from jax.sharding import Mesh

from man_jax.engine.sharding import put_replicated, replicated
from man_jax.engine.state import TrainState

CHECKPOINTS = "checkpoints"
PRETRAINED = "pretrained"


def open_checkpoints(workdir: Path, *, keep: int = 2) -> ocp.CheckpointManager:
    """The run's checkpoints by step, of which the last `keep` stay; leftovers of killed saves are removed."""
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep, cleanup_tmp_directories=True, enable_async_checkpointing=False
    )
    return ocp.CheckpointManager((workdir / CHECKPOINTS).absolute(), options=options)


def save_state(checkpoints: ocp.CheckpointManager, state: TrainState) -> None:
    """Save the state under its own step, once."""
    step = int(state.step)
    if checkpoints.latest_step() != step:
        checkpoints.save(step, args=ocp.args.StandardSave(state))


def restore_state(checkpoints: ocp.CheckpointManager, step: int, like: TrainState, mesh: Mesh) -> TrainState:
    """The state saved at `step`, on all devices; `like` gives its shapes, from this or another number of devices."""
    abstract = _abstract(like, mesh)
    return put_replicated(checkpoints.restore(step, args=ocp.args.StandardRestore(abstract)), mesh)


def save_pretrained(workdir: Path, state: TrainState) -> None:
    """Keep the pre-trained variables for other runs' `config.pretrain.init_from`."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save((workdir / PRETRAINED).absolute(), state.variables, force=True)


def restore_pretrained(workdir: Path, like: TrainState, mesh: Mesh) -> TrainState:
    """`like`, with the pre-trained variables of another run.

    Raises:
        FileNotFoundError: that run left none.
        ValueError: they are of another shape: another network, other identities or another number of clusters.
    """
    folder = (workdir / PRETRAINED).absolute()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"config.pretrain.init_from: {folder} does not exist; name the work directory of a run that "
            f"finished pre-training"
        )
    abstract = _abstract(like.variables, mesh)
    with ocp.StandardCheckpointer() as checkpointer:
        found = checkpointer.metadata(folder).item_metadata
        _check_shapes(found, abstract, folder)
        variables = put_replicated(checkpointer.restore(folder, abstract), mesh)
    return like.replace(**variables)


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
        raise ValueError(
            f"config.pretrain.init_from: {folder} does not fit this model: {listed} ({len(wrong)} in all); "
            f"use the model, data and num_clusters it was trained with"
        )
