"""Several processes, each with its own devices, do what one process with all devices does.

The bytes are the same where the same library adds up, in the same number of threads: a process without --distributed
adds up by itself, so the single one is started as one of one; and on a CPU it has at least as many threads as devices,
which NPROC sets for all.
"""

import json
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from man_jax import methods
from man_jax.retrieval.feature_file import read_features
from man_jax.runs.checkpoint import CHECKPOINTS, read_network
from man_jax.runs.past_config import run_config
from tests.quick_programs import DEVICES, QUICK, XLA_FLAGS
from tests.starts import End, Starts
from tests.test_train import trees

__all__ = ["trees"]

SMALL = (
    "--config.model.stage_sizes=(1,)",
    "--config.model.width=4",
    "--config.model.modalities=('R',)",
    "--config.model.convolution=lax",  # on a CPU it is slower than the other form, and compiles in half the time
)
BEFORE_LAST = 4
"""The step of the last checkpoint but one."""


@pytest.fixture(scope="module")
def starts() -> Iterator[Starts]:
    with Starts(**QUICK, NPROC="8") as starts:
        yield starts


def together(starts: Starts, *commands: tuple[str, ...], devices: int) -> list[End]:
    """Run a command in so many processes as there are command lines, with so many devices each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    shared = {
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_NUM_PROCESSES": str(len(commands)),
        "XLA_FLAGS": f"{XLA_FLAGS} {DEVICES}{devices}",
    }
    orders = [
        ((*words, "--distributed"), shared | {"JAX_PROCESS_ID": str(place)})
        for place, (_, *words) in enumerate(commands)
    ]
    return starts.start_together(commands[0][0], orders)


def whole(*ends: End) -> None:
    for end in ends:
        assert end.status == 0, end.output[-3000:]


def training(trees: Path, workdir: Path, *words: str) -> tuple[str, ...]:
    """The command of record on the smallest network."""
    return (
        *("man_jax.train", "--config=configs/demo.py:us+smoke", f"--workdir={workdir}"),
        f"--config.data.source.root={trees / 'RGBNT100'}",
        f"--config.data.target.root={trees / 'WMVeID863'}",
        f"--config.data.prepared={trees / 'prepared'}",
        *SMALL,
        *words,
    )


@pytest.fixture(scope="module")
def single(trees, starts, tmp_path_factory) -> Path:
    """A run of one process with eight devices."""
    workdir = tmp_path_factory.mktemp("runs") / "single"
    whole(*together(starts, training(trees, workdir), devices=8))
    return workdir


def without_its_end(run: Path, workdir: Path) -> Path:
    """A copy of a run that was stopped before its last checkpoint."""
    shutil.copytree(run, workdir)
    [*_, last] = sorted((workdir / CHECKPOINTS).iterdir(), key=lambda folder: int(folder.name))
    shutil.rmtree(last)
    shutil.rmtree(workdir / "tensorboard")
    (workdir / "summary.json").unlink()
    return workdir


def weights(run: Path) -> tuple[int, list[np.ndarray]]:
    config = run_config(run)
    step, source, target = read_network(run, methods.find(config.method).networks(config)[0])
    return step, jax.tree.leaves((source, target))


def test_four_processes_with_two_devices_leave_the_bytes_of_one_with_eight(trees, starts, single, tmp_path):
    four = without_its_end(single, tmp_path / "four")
    ends = together(starts, *[training(trees, four)] * 4, devices=2)
    whole(*ends)
    assert f"going on from the checkpoint of step {BEFORE_LAST}" in ends[0].output
    # Only the first process tells and writes.
    assert ["All figures in %" in end.output for end in ends] == [True, False, False, False]
    assert len([*(four / "tensorboard").iterdir()]) == 1
    lines = (four / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["phase"] for line in lines] == ["pretrain", "adapt", "adapt"]
    assert (four / "metrics.jsonl").read_bytes() == (single / "metrics.jsonl").read_bytes()
    figures = [json.loads((run / "summary.json").read_text()) for run in (four, single)]
    # The others went on, so they have compiled less.
    assert [each.pop("compilations")["pretrain_step"] for each in figures] == [0, 1]
    assert figures[0] == figures[1]
    (step, found), (same, expected) = weights(four), weights(single)
    assert step == same > BEFORE_LAST
    for array, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(array, other)


def test_two_processes_evaluate_as_the_run_did_and_the_first_one_tells(starts, single, tmp_path):
    ways = ("--every_checkpoint", "--rerank=12,4,0.3", "--query_expansion=4,1", "--breakdown")
    command = ("man_jax.evaluate", f"--run={single}", f"--out={tmp_path}", *ways)
    first, second = together(starts, command, command, devices=1)
    whole(first, second)
    assert "R expanded, re-ranked" in first.output
    assert "mAP" not in second.output
    figures = json.loads((tmp_path / "evaluation.json").read_text())["figures"]
    last = json.loads((single / "metrics.jsonl").read_text().splitlines()[-1])
    assert figures[f"step {last['step']}: R"]["mAP"] == pytest.approx(last["eval/mAP"], rel=1e-4)


def test_two_processes_take_the_features_that_one_takes(trees, starts, single, tmp_path):
    data = (f"--data={trees / 'WMVeID863'}", "--dataset=wmveid863", "--split=query", "--batch_size=10")
    for number in (1, 2):
        # The last batch has 4 triples, and the second process has none of its own in it.
        command = ("man_jax.predict", f"--run={single}", *data, f"--out={tmp_path / f'{number}.npz'}")
        whole(*together(starts, *[command] * number, devices=2 // number))
    one, two = (read_features(tmp_path / f"{number}.npz") for number in (1, 2))
    assert two.paths == one.paths
    assert len(one.paths) % 10 < 5
    np.testing.assert_array_equal(two.features, one.features)


def test_a_process_with_another_command_is_named_before_any_data_is_read(trees, starts, tmp_path):
    commands = [training(trees, tmp_path / "run", f"--config.seed={seed}") for seed in (0, 1)]
    first, second = together(starts, *commands, devices=1)
    assert (first.status, second.status) == (1, 1)
    assert re.search(
        r"\nerror: --distributed: process 1 on \S+ differs from process 0: config\.seed", second.output
    )
    assert re.search(
        r"\nerror: process 1 refused to go on: --distributed: .*config\.seed is 0 there", first.output
    )
    assert [*tmp_path.iterdir()] == []
