"""The command of record, as a user runs it: in processes of its own, on small trees in the real layouts."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from PIL import Image

from man_jax.engine.table_figures import figures_by_subset
from man_jax.runs.epoch_times import usual_times
from man_jax.runs.past_config import run_config
from man_jax.sharding import make_mesh
from tests.quick_programs import QUICK
from tests.starts import Starts

ROOT = Path(__file__).parents[1]
CONFIG = "configs/rgbnt100_to_wmveid863.py:smoke"
MODALITIES = ("vis", "ni", "th")


@pytest.fixture(scope="module")
def trees(tmp_path_factory) -> Path:
    """Both layouts: 8 training and 4 test identities, three cameras, two triples each.

    An identity is a colour in each modality, each image of it lighter or darker, so that no model finds all matches.
    """
    root, rng = tmp_path_factory.mktemp("trees"), np.random.default_rng(0)
    for split, pids in (("train", range(1, 9)), ("test", range(9, 13))):
        for pid in pids:
            colours = rng.integers(80, 176, (3, 3))
            for camera in range(1, 4):
                for count in range(2):
                    images = [
                        np.clip(colour + light + rng.normal(0, 30, (32, 64, 3)), 0, 255).astype(np.uint8)
                        for colour, light in zip(colours, rng.normal(0, 50, (3, 1)), strict=True)
                    ]
                    write_rgbnt100(root / "RGBNT100", split, pid, camera, count, images)
                    write_wmveid863(root / "WMVeID863", split, 20 + pid, camera, count, images)
    return root


def write_rgbnt100(
    root: Path, split: str, pid: int, camera: int, count: int, images: list[np.ndarray]
) -> None:
    strip = Image.fromarray(
        np.concatenate([np.kron(image, np.ones((4, 4, 1), np.uint8)) for image in images], axis=1)
    )
    for folder in ["bounding_box_train"] if split == "train" else ["bounding_box_test", "query"]:
        (root / folder).mkdir(parents=True, exist_ok=True)
        strip.save(root / folder / f"{pid:04d}_c{camera:04d}_{count:03d}.jpg")


def write_wmveid863(
    root: Path, split: str, pid: int, camera: int, count: int, images: list[np.ndarray]
) -> None:
    for folder in ["train"] if split == "train" else ["test", "query"]:
        for modality, image in zip(MODALITIES, images, strict=True):
            path = root / folder / f"{pid:04d}" / modality / f"v{camera}_n1_s999_{count:03d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)


def arguments(trees: Path, workdir: Path, *overrides: str) -> list[str]:
    return [
        *("--config", CONFIG, "--workdir", str(workdir)),
        f"--config.data.source.root={trees / 'RGBNT100'}",
        f"--config.data.target.root={trees / 'WMVeID863'}",
        f"--config.data.prepared={trees / 'prepared'}",
        "--config.model.stage_sizes=(1, 1)",
        *overrides,
    ]


def command(trees: Path, workdir: Path) -> list[str]:
    return [sys.executable, "-m", "man_jax.train", *arguments(trees, workdir)]


def run(command: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | QUICK, capture_output=True, text=True, timeout=600
    )


@pytest.fixture(scope="module")
def starts():
    """Starts of commands in processes that need not import the libraries again."""
    with Starts(**QUICK) as starts:
        yield starts


@pytest.fixture(scope="module")
def finished(trees, tmp_path_factory) -> Path:
    """The work directory of an uninterrupted run."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    result = run(command(trees, workdir))
    assert result.returncode == 0, result.stderr[-3000:]
    assert "adapted" in result.stdout
    assert "starting from scratch: config.model.pretrained is empty" in result.stderr
    return workdir


def last_state(workdir: Path):
    with ocp.CheckpointManager((workdir / "checkpoints").absolute()) as checkpoints:
        return checkpoints.restore(checkpoints.latest_step(), args=ocp.args.StandardRestore())


def as_bytes(tree) -> dict[str, bytes]:
    leaves = ocp.tree.to_flat_dict(tree, sep="/")
    return {name: np.asarray(leaf).tobytes() for name, leaf in leaves.items() if "key" not in name.split("/")}


def test_a_run_leaves_everything_a_reader_looks_for(finished):
    left = {path.name for path in finished.iterdir()}
    expected = {"config.json", "metrics.jsonl", "tensorboard", "summary.json", "checkpoints"}
    assert expected | {"ranking.png", "curves.png", "pretrained"} <= left
    summary = json.loads((finished / "summary.json").read_text())
    for row in ("source_only", "adapted", "best_on_test"):
        assert {"mAP", "R1", "R5", "R10", "mINP"} <= summary[row].keys()
        assert 0.0 < summary[row]["mAP"] < 1.0
    assert summary["source_only"]["mAP"] != summary["adapted"]["mAP"]


def test_each_phase_compiles_its_step_once(finished):
    assert json.loads((finished / "summary.json").read_text())["compilations"] == {
        "pretrain_step": 1,
        "adapt_step": 1,
        "extract": 1,
    }


def test_a_killed_run_ends_in_the_bits_of_the_uninterrupted_one(starts, trees, finished, tmp_path):
    workdir = tmp_path / "killed"
    kill_when(command(trees, workdir), lambda: (workdir / "checkpoints" / "2").exists())
    kill_when(command(trees, workdir), lambda: (workdir / "checkpoints" / "4").exists())
    end = starts.start("man_jax.train", *arguments(trees, workdir))
    assert end.status == 0, end.output[-3000:]
    assert as_bytes(last_state(workdir)) == as_bytes(last_state(finished))
    assert (workdir / "metrics.jsonl").read_text() == (finished / "metrics.jsonl").read_text()


def kill_when(arguments: list[str], reached) -> None:
    """Start a run and kill -9 it as soon as `reached()`, as a pre-empted machine would."""
    process = subprocess.Popen(arguments, cwd=ROOT, env=os.environ | QUICK, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not reached():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_finished_run_started_again_changes_nothing(starts, trees, finished):
    before = (finished / "metrics.jsonl").read_text(), (finished / "summary.json").read_text()
    end = starts.start("man_jax.train", *arguments(trees, finished))
    assert end.status == 0, end.output[-3000:]
    assert (finished / "metrics.jsonl").read_text() == before[0]
    assert json.loads(before[1])["adapted"] == json.loads((finished / "summary.json").read_text())["adapted"]


def evaluate(starts: Starts, workdir: Path, out: Path, *flags: str) -> dict[str, dict[str, float]]:
    """The figures that the command of evaluation finds for a run, by row."""
    end = starts.start("man_jax.evaluate", "--run", str(workdir), "--out", str(out), *flags)
    assert end.status == 0, end.output[-3000:]
    assert (out / "ranking.png").is_file()
    return json.loads((out / "evaluation.json").read_text())["figures"]


def test_a_run_is_evaluated_anew_to_the_same_figures(starts, finished, tmp_path):
    summary = json.loads((finished / "summary.json").read_text())
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    assert evaluate(starts, finished, tmp_path / "last") == {"R+N+T": pytest.approx(summary["adapted"])}
    source_only = evaluate(starts, finished, tmp_path / "first", "--pretrained")
    assert source_only == {"R+N+T": pytest.approx(summary["source_only"])}
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_a_table_shows_a_finished_run_with_modalities_missing_and_what_it_cost(finished):
    config = run_config(finished)
    summary = json.loads((finished / "summary.json").read_text())
    found = figures_by_subset(config, finished, ["RNT", "T"], mesh=make_mesh(jax.devices()[:1]))
    assert found["RNT"] == pytest.approx(summary["adapted"])
    assert found["T"] != found["RNT"]
    config.update_from_flattened_dict({"adapt.epochs": 0, "pretrain.init_from": str(finished)})  # source only
    before = figures_by_subset(config, finished / "none", ["RNT"], mesh=make_mesh(jax.devices()[:1]))
    assert before["RNT"] == pytest.approx(summary["source_only"])
    assert usual_times(finished).keys() == {"label_seconds", "train_seconds", "test_seconds"}


def test_a_data_set_that_lacks_a_modality_has_the_figures_of_the_others(starts, trees, finished, tmp_path):
    for split, folder in (("train", "train"), ("query", "query"), ("gallery", "test")):
        for path in (trees / "WMVeID863" / folder).glob("*/*/*.jpg"):
            modality = {"vis": "R", "th": "T"}.get(path.parent.name)
            if modality:
                pid, camera = path.parents[1].name, path.name[1]
                link = tmp_path / "mine" / split / modality / f"{pid}_c{camera}_{path.name}"
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)
    mine = evaluate(
        starts,
        finished,
        tmp_path / "two",
        "--dataset",
        "folder",
        "--root",
        str(tmp_path / "mine"),
        "--modalities=RT,T",
    )
    complete = evaluate(starts, finished, tmp_path / "three", "--modalities=RT,T")
    assert mine == {row: pytest.approx(figures, rel=1e-5) for row, figures in complete.items()}


def test_a_work_directory_of_another_configuration_is_refused_by_key(starts, trees, finished):
    end = starts.start("man_jax.train", *arguments(trees, finished, "--config.man.alpha=0.25"))
    assert end.status != 0
    assert "config.man.alpha is 1.0 there and 0.25 here" in end.output


def test_a_misspelt_key_is_answered_with_the_right_one(starts, trees, tmp_path):
    end = starts.start("man_jax.train", *arguments(trees, tmp_path / "never", "--config.loss.alpa=0.25"))
    assert end.status != 0
    assert "did you mean config.man.alpha?" in end.output
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("--config.data.source.root=/nowhere", "/nowhere"),
        ("--config.model.pretrained=/nowhere.pth", "config.model.pretrained: /nowhere.pth does not exist"),
        ("--config.adapt.num_clusters=49", "48"),
        ("--config.man.rule=plurality", "fusion_vote"),
    ],
)
def test_bad_input_ends_before_training_with_one_line(starts, trees, tmp_path, override, complaint):
    end = starts.start("man_jax.train", *arguments(trees, tmp_path / "refused", override))
    assert end.status != 0
    last = end.output.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert complaint in last
