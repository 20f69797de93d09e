"""A run that an older version began: its weights are of use, its state is not."""

from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from man_jax.config import WorkdirError
from man_jax.engine.optimizer import make_optimizer
from man_jax.frame import TRAINED, TrainState
from man_jax.runs.checkpoint import (
    open_checkpoints,
    read_network,
    restore_adapted,
    save_pretrained,
    save_state,
)
from man_jax.runs.metrics import MetricsWriter
from man_jax.runs.state_layout import check_layout
from man_jax.sharding import make_mesh
from tests.engine.tiny import NUM_SOURCE, assert_same, new_state

OPTIMIZER = make_optimizer("adam", lambda _: 0.1, weight_decay=0.0)


def save_old_form(workdir: Path, state: TrainState, *, step: int) -> None:
    """Save a state as version 0.1 did, with MAN's banks and memory beside the parameters."""
    banks, queue, *_ = state.slots
    fields = ("params", "statistics", "opt_state", "key")
    old = {name: getattr(state, name) for name in fields} | {"banks": banks, "memory": queue}
    with open_checkpoints(workdir) as checkpoints:
        checkpoints.save(step, args=ocp.args.StandardSave(old | {"step": np.int32(step)}))


@pytest.fixture(scope="module")
def state() -> TrainState:
    return new_state(OPTIMIZER, seed=3)


@pytest.fixture(scope="module")
def old(tmp_path_factory, state) -> Path:
    workdir = tmp_path_factory.mktemp("old")
    save_old_form(workdir, state, step=7)
    return workdir


def test_the_network_of_an_older_run_is_read(old, state):
    step, source, target = read_network(old, TRAINED)
    assert step == 7
    assert_same(source, TRAINED.variables(state, "source"))
    assert_same(target, TRAINED.variables(state, "target"))


def test_an_adaptation_begins_from_an_older_run(old, state):
    like, mesh = new_state(OPTIMIZER, seed=1), make_mesh(jax.devices()[:1])
    begun = restore_adapted(old, TRAINED, like, mesh, num_source=NUM_SOURCE)
    assert_same(begun.params["branches"], state.params["branches"])
    assert_same(begun.statistics, state.statistics)


@pytest.mark.parametrize(
    ("phase", "pretrained", "remedy"),
    [
        ("adapt", True, r"begin from it in another --workdir by --config\.adapt\.init_from="),
        ("pretrain", True, r"begin from it in another --workdir by --config\.pretrain\.init_from="),
        ("pretrain", False, r"begin again in another --workdir"),
    ],
)
def test_a_state_of_an_older_version_is_refused_in_a_line_with_the_folder_and_the_remedies(
    tmp_path, state, phase, pretrained, remedy
):
    save_old_form(tmp_path, state, step=7)
    with MetricsWriter(tmp_path) as writer:
        writer.write({"loss/total": 1.0}, step=7, epoch=1, phase=phase)
    if pretrained:
        save_pretrained(tmp_path, state, num_source=NUM_SOURCE)
    with pytest.raises(WorkdirError, match=remedy) as told:
        check_layout(tmp_path)
    line = str(told.value)
    assert line.startswith(
        f"{tmp_path}/checkpoints/7 was saved by an older version of man_jax, whose state had banks, "
    )
    assert f"man_jax.evaluate --run {tmp_path}" in line
    assert line.endswith("or go on with the version that began it")
    assert "\n" not in line


@pytest.mark.parametrize("begun", [True, False])
def test_a_state_of_this_version_goes_on_before_adaptation_and_in_it(tmp_path, state, begun):
    with open_checkpoints(tmp_path) as checkpoints:
        save_state(checkpoints, state if begun else state.replace(slots=()))
    check_layout(tmp_path)


def test_a_checkpoint_that_cannot_be_read_is_no_other_version_s(tmp_path):
    (tmp_path / "checkpoints" / "3").mkdir(parents=True)
    check_layout(tmp_path)
