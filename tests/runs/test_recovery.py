"""A damaged checkpoint costs the epochs since the whole one before it, and nothing else."""

import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from man_jax.config import ConfigError, WorkdirError
from man_jax.engine.optimizer import make_optimizer
from man_jax.frame import TRAINED
from man_jax.runs.checkpoint import (
    CHECKPOINTS,
    PRETRAINED,
    find_pretrained,
    open_checkpoints,
    read_network,
    read_pretrained,
    restore_state,
    save_pretrained,
    save_state,
)
from man_jax.runs.metrics import MetricsWriter
from man_jax.runs.recovery import PassedOver, check_rows, move_aside, read_newest, saved_steps
from man_jax.runs.seal import SEAL
from man_jax.sharding import make_mesh
from tests.engine.tiny import NUM_SOURCE, new_state


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A work directory with the states of steps 4 and 6 and pre-trained weights."""
    workdir, state = (
        tmp_path_factory.mktemp("saved"),
        new_state(make_optimizer("adam", lambda _: 0.1, weight_decay=0.0)),
    )
    with open_checkpoints(workdir) as checkpoints:
        for step in (4, 6):
            save_state(checkpoints, state.replace(step=np.int32(step)), {"keys": {}})
    save_pretrained(workdir, state, num_source=NUM_SOURCE)
    return workdir


@pytest.fixture
def workdir(saved, tmp_path) -> Path:
    return shutil.copytree(saved, tmp_path / "run")


def largest(folder: Path) -> Path:
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda path: path.stat().st_size)


def cut(folder: Path) -> None:
    os.truncate(largest(folder), 1000)


def flip(folder: Path) -> None:
    content = bytearray((path := largest(folder)).read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def unseal(folder: Path) -> None:
    (folder / SEAL).unlink()


def unsealed(damage):
    def both(folder: Path) -> None:
        unseal(folder)
        damage(folder)

    return both


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


DAMAGES = [
    cut,
    flip,
    empty,
    lambda folder: os.truncate(largest(folder), 0),
    lambda folder: (folder / "_CHECKPOINT_METADATA").unlink(),
    lambda folder: (folder / "default" / "manifest.ocdbt").unlink(),
    lambda folder: shutil.rmtree(folder / "default" / "ocdbt.process_0"),
    # as a version that wrote no seals left it
    unsealed(cut),
    unsealed(lambda folder: shutil.rmtree(folder / "default")),
    unsealed(lambda folder: (folder / "default" / "_METADATA").unlink()),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_newest_whole_checkpoint_is_read_and_the_damaged_one_named_and_kept(workdir, caplog, damage):
    damage(workdir / CHECKPOINTS / "6")
    before = sorted(workdir.rglob("*"))
    with caplog.at_level("WARNING", logger="absl"):
        step, _, _ = read_network(workdir, TRAINED)
    assert step == 4
    assert "the checkpoint of step 6 in " in caplog.text
    assert "the one of step 4 is used instead" in caplog.text
    assert sorted(workdir.rglob("*")) == before


def test_a_whole_checkpoint_without_a_seal_is_read(workdir):
    unseal(workdir / CHECKPOINTS / "6")
    assert read_network(workdir, TRAINED)[0] == 6


def test_if_none_is_whole_one_line_says_so_and_offers_the_pre_trained_weights(workdir):
    cut(workdir / CHECKPOINTS / "6")
    empty(workdir / CHECKPOINTS / "4")
    with pytest.raises(
        ConfigError, match=r"none of the checkpoints in .* is whole \(step 6: .*; step 4: "
    ) as error:
        read_network(workdir, TRAINED)
    assert "\n" not in str(error.value)
    assert f"--config.pretrain.init_from={workdir}" in str(error.value)


def test_an_error_that_is_no_damage_is_not_taken_for_it(workdir):
    def read(_):
        raise MemoryError("no room")

    with pytest.raises(MemoryError):
        read_newest(workdir / CHECKPOINTS, read)


def test_damaged_checkpoints_are_moved_aside_and_their_steps_saved_again(workdir, saved):
    folder = workdir / CHECKPOINTS
    for damaged in ("damaged-6", "damaged-6-2"):
        move_aside([PassedOver(6, "cut short")], folder)
        assert (folder / damaged / "default").is_dir()
        shutil.copytree(saved / CHECKPOINTS / "6", folder / "6")
    move_aside([PassedOver(6, "cut short")], folder)
    state = new_state(make_optimizer("adam", lambda _: 0.1, weight_decay=0.0))
    with open_checkpoints(workdir) as checkpoints:
        assert checkpoints.latest_step() == 4
        for step in (6, 8, 10):
            save_state(checkpoints, state.replace(step=np.int32(step)))
        restore_state(checkpoints, 10, state, make_mesh(jax.devices()[:1]))
    assert saved_steps(folder) == [10, 8]
    assert {path.name for path in folder.glob("damaged-*")} == {"damaged-6", "damaged-6-2", "damaged-6-3"}


@pytest.mark.parametrize(
    ("read", "damage"),
    [(find_pretrained, cut), (find_pretrained, flip), (read_pretrained, flip), (read_pretrained, empty)],
)
def test_damaged_pre_trained_weights_are_refused_in_one_line(workdir, read, damage):
    damage(workdir / PRETRAINED)
    with pytest.raises(ConfigError, match=r"pretrained is damaged \(.*\); restore it from a copy") as error:
        read(workdir)
    assert "\n" not in str(error.value)


# --- rows of metrics.jsonl that the checkpoint does not bring back


def write_rows(workdir: Path, *steps: int, evaluated: tuple[int, ...] = (2, 4)) -> None:
    with MetricsWriter(workdir) as writer:
        for step in steps:
            row = {"eval/mAP": 0.5} if step in evaluated else {"loss/total": 1.0}
            writer.write(row, step=step, epoch=step, phase="pretrain" if step <= 2 else "adapt")


@pytest.mark.parametrize(
    ("step", "rows"), [(1, (1,)), (2, (1, 2)), (4, (1, 2, 3, 4)), (2, (1, 2, 3)), (4, (2, 4))]
)
def test_a_run_whose_rows_reach_its_checkpoint_goes_on(tmp_path, step, rows):
    write_rows(tmp_path, *rows)
    check_rows(tmp_path, step, begun_at=2)


@pytest.mark.parametrize(
    ("step", "rows", "missing"),
    [
        (4, (), "of step 4"),
        (4, (1, 2, 3), "of step 4"),
        (4, (3, 4), "of step 2, where adaptation began"),
        (1, (), "of step 1"),
    ],
)
def test_rows_that_are_lost_are_told_before_a_summary_without_them(tmp_path, step, rows, missing):
    write_rows(tmp_path, *rows)
    with pytest.raises(
        WorkdirError, match=rf"metrics\.jsonl lacks the row {missing}.*adapt\.init_from={tmp_path}"
    ):
        check_rows(tmp_path, step, begun_at=2)


def test_rows_of_another_run_are_told_by_the_loss_that_the_checkpoint_kept(tmp_path):
    write_rows(tmp_path, 2, 3)
    check_rows(tmp_path, 3, begun_at=2, sealed={"loss/total": 1.0})
    with pytest.raises(
        WorkdirError, match=r"metrics\.jsonl is another run's than the checkpoint of step 3: loss/to"
    ):
        check_rows(tmp_path, 3, begun_at=2, sealed={"loss/total": 1.0 + 1e-6})
