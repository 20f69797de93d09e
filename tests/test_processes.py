"""Two processes with a device each train as one process with two devices does."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.quick_programs import DEVICES, QUICK, XLA_FLAGS
from tests.test_train import ROOT, trees

__all__ = ["trees"]

SMALL = (
    "--config.model.stage_sizes=(1,)",
    "--config.model.width=4",
    "--config.model.modalities=('R',)",
    "--config.model.convolution=lax",  # on a CPU it is slower than the other form, and compiles in half the time
)


def start(trees: Path, workdir: Path, *words: str, **variables: str) -> subprocess.Popen:
    """The command of record on the smallest network."""
    command = [
        *(sys.executable, "-m", "man_jax.train", "--config=configs/demo.py:us+smoke", f"--workdir={workdir}"),
        f"--config.data.source.root={trees / 'RGBNT100'}",
        f"--config.data.target.root={trees / 'WMVeID863'}",
        f"--config.data.prepared={trees / 'prepared'}",
        *SMALL,
        *words,
    ]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | QUICK | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def evaluate(workdir: Path, *words: str, **variables: str) -> subprocess.Popen:
    """The weights of a run that has ended, in as many ways as there are."""
    return subprocess.Popen(
        [sys.executable, "-m", "man_jax.evaluate", f"--run={workdir}", f"--out={workdir / 'out'}", *words],
        cwd=ROOT,
        env=os.environ | QUICK | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def two(begin: Callable[..., subprocess.Popen]) -> list[subprocess.Popen]:
    """Both processes of a command, which `begin` starts with a flag and with environment variables."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    shared = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    return [begin("--distributed", **shared, JAX_PROCESS_ID=str(i)) for i in range(2)]


def start_two(trees: Path, workdir: Path, *words: str) -> list[subprocess.Popen]:
    return two(partial(start, trees, workdir, *words))


def outputs(processes: list[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """(exit code, stdout, stderr) of each; none is left running."""
    try:
        found = [process.communicate(timeout=300) for process in processes]
        return [(process.returncode, *texts) for process, texts in zip(processes, found, strict=True)]
    finally:
        for process in processes:
            process.kill()


def rows(workdir: Path) -> dict[str, dict[str, float]]:
    """The figures of every line, by phase and epoch."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    named = {f"{line.pop('phase')} {line['epoch']}": line for line in lines}
    assert len(named) == len(lines)
    return named


def test_two_processes_train_as_one_with_two_devices_and_only_the_first_writes(trees, tmp_path):
    single = start(trees, tmp_path / "single", XLA_FLAGS=f"{XLA_FLAGS} {DEVICES}2")
    [(code, _, log)] = outputs([single])
    assert code == 0, log[-3000:]
    first, second = outputs(start_two(trees, tmp_path / "double"))
    for code, _, log in (first, second):
        assert code == 0, log[-3000:]
    assert "adapted" in first[1]
    assert "adapted" not in second[1]
    assert len(list((tmp_path / "double" / "tensorboard").iterdir())) == 1
    found, expected = rows(tmp_path / "double"), rows(tmp_path / "single")
    assert list(found) == ["pretrain 1", "adapt 1", "adapt 2"]
    # The same bits on the machine it was written on; approximately, since another may add up in another order.
    assert found == {name: pytest.approx(row, rel=1e-4) for name, row in expected.items()}
    # And they measure the last weights as the run did, of which only the first process tells.
    ways = ("--every_checkpoint", "--rerank=12,4,0.3", "--query_expansion=4,1", "--breakdown")
    first, second = outputs(two(partial(evaluate, tmp_path / "double", *ways)))
    for code, _, log in (first, second):
        assert code == 0, log[-3000:]
    assert "R expanded, re-ranked" in first[1]
    assert "mAP" not in second[1]
    figures = json.loads((tmp_path / "double/out/evaluation.json").read_text())["figures"]
    last = found["adapt 2"]
    assert figures[f"step {last['step']}: R"]["mAP"] == pytest.approx(last["eval/mAP"], rel=1e-4)
