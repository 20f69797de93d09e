"""Saving and restoring the state, with Orbax: a save that was interrupted does not exist."""

from pathlib import Path

import jax
import orbax.checkpoint as ocp
from jax.sharding import Mesh

from man_jax.config import ConfigError
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
    """Keep what pre-training learnt, for other runs' `config.pretrain.init_from`: all but the target's columns."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save((workdir / PRETRAINED).absolute(), _source_part(state), force=True)


def restore_pretrained(workdir: Path, like: TrainState, mesh: Mesh) -> TrainState:
    """`like`, with the pre-trained variables of another run, whatever its number of clusters was.

    Raises:
        ConfigError: that run left none, or they are of another network or of other source identities.
    """
    folder = (workdir / PRETRAINED).absolute()
    if not folder.is_dir():
        raise ConfigError(
            f"config.pretrain.init_from: {folder} does not exist; name the work directory of a run that "
            f"finished pre-training"
        )
    abstract = _abstract(jax.eval_shape(_source_part, like), mesh)
    with ocp.StandardCheckpointer() as checkpointer:
        _check_shapes(checkpointer.metadata(folder).item_metadata, abstract, folder)
        found = put_replicated(checkpointer.restore(folder, abstract), mesh)
    num_source = like.banks.source.valid.shape[0]
    fresh = like.params["heads"]
    heads = jax.tree.map(lambda new, old: new.at[..., :num_source].set(old), fresh, found["params"]["heads"])
    params = {**found["params"], "heads": heads}
    return put_replicated(
        like.replace(params=params, statistics=Statistics(found["batch_stats"], found["batch_stats"])), mesh
    )


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
