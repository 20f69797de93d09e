"""What `man_jax.reproduce` runs, what it refuses before the first run, and what it writes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from man_jax.configs.variants import ROWS

from data_pipelines.reading.records import DataError
from man_jax.config import Config, ConfigError
from man_jax.configs import demo
from man_jax.runs.weights_meaning import meaning
from man_jax.runs.workdir import WorkdirError, claim_workdir
from man_jax.studies import planned_runs as study
from man_jax.studies.planned_runs import SHARED, check_planned_runs, parse_seeds, planned_runs, turned
from tests.data_pipelines.trees import write_rgbnt100, write_wmveid863
from tests.quick_programs import QUICK

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(small_data) -> dict[str, str]:
    return small_data


def config_of(data, **changes) -> Config:
    config = demo.get_config("smoke")
    config.update_from_flattened_dict(
        data | {key.replace("__", "."): value for key, value in changes.items()}
    )
    return config


def check(config: Config, tmp_path: Path, *, rows=(), seeds=(0, 1)) -> None:
    check_planned_runs(config, seeds, tmp_path, rows=rows, num_devices=1)


# --- the runs


def test_all_but_the_first_run_start_from_its_weights(data, tmp_path):
    runs = planned_runs(
        config_of(data, model__pretrained="r50.pth"), 3, tmp_path, rows=["no_cpa", "man.alpha=0.5"]
    )
    assert list(runs) == ["adapted", "oracle", "no_cpa", "man.alpha=0.5"]
    first = runs.pop("adapted")
    assert (first.config.pretrain.init_from, first.config.model.pretrained) == ("", "r50.pth")
    for run in runs.values():
        assert (run.config.pretrain.init_from, run.config.model.pretrained) == (str(first.workdir), "")
        assert run.config.seed == first.config.seed == 3
    assert runs["oracle"].config.adapt.labels == "truth"
    assert runs["man.alpha=0.5"].config.man.alpha == 0.5
    assert runs["man.alpha=0.5"].workdir == tmp_path / "seed3-man.alpha=0.5"


def test_weights_that_are_given_are_those_of_all_runs(data, tmp_path):
    runs = planned_runs(config_of(data, pretrain__init_from="runs/mine"), 0, tmp_path, rows=["no_cpa"])
    assert {run.config.pretrain.init_from for run in runs.values()} == {"runs/mine"}


def test_the_experiment_is_left_as_it_was(data, tmp_path):
    config = config_of(data)
    planned_runs(config, 5, tmp_path, rows=["no_cpa"])
    assert config.to_json() == config_of(data).to_json()


# --- refusals


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["0", "x"], r"^--seeds 0,x: 'x' is no whole number of at least 0; write e\.g\. --seeds 0,1,2"),
        (["-1"], r"'-1' is no whole number"),
        (["0", "1", "00"], r"^--seeds: 0 occurs twice; name each once"),
        ([], r"^--seeds is empty"),
    ],
)
def test_what_is_no_seed_or_occurs_twice_is_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        parse_seeds(words)


def test_seeds_are_read_as_numbers():
    assert parse_seeds(["0", " 2", "10"]) == [0, 2, 10]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("clip", r"sets config\..* instead of .*--config configs/NAME\.py:clip and another --out"),
        ("released", r"keys more; all rows share .*--config configs/NAME\.py:released and another --out"),
        (
            "model.width=32",
            r"config\.model\.width to 32 instead of 8; .*--config\.model\.width=32 and another --out",
        ),
        ("data.target.name=rgbnt201", r"config\.data\.target\.name to 'rgbnt201' instead of 'wmveid863'"),
        ("seed=7", r"config\.seed to 7 instead of 0"),
        ("data.image_size=(64, 64)", r"config\.data\.image_size to \(64, 64\)"),
        ("data.source.root=elsewhere", r"config\.data\.source\.root to 'elsewhere'"),
        ("pretrain.epochs=3", r"config\.pretrain\.epochs to 3"),
        ("no_cap", r"variant 'no_cap' is none of"),
    ],
)
def test_a_row_that_needs_weights_of_its_own_is_refused_with_the_remedy(data, tmp_path, row, message):
    with pytest.raises(ConfigError, match=rf"^--rows {re.escape(row)}: .*{message}"):
        check(config_of(data), tmp_path, rows=["no_cpa", row], seeds=[0])


@pytest.mark.parametrize(
    "row",
    [
        *ROWS,
        "model.application=scan",
        "adapt.num_clusters=3",
        "data.storage=shards",
        "loss.triplet_form=soft",
        "augment.per_modality=True",
    ],
)
def test_rows_of_the_tables_and_other_ways_to_compute_share_the_weights(data, row):
    turned(config_of(data), row)


@pytest.mark.parametrize("key", meaning(demo.get_config()))
def test_a_key_that_the_shared_weights_were_learnt_under_is_no_row_s(key):
    assert any(f"{key}.".startswith(f"{part}.") for part in SHARED)


def test_every_shared_key_is_one():
    config = demo.get_config()
    for name in SHARED:
        part = config
        for key in name.split("."):
            part = part[key]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["adapt.sampling=reliabel"],
            r"^--rows adapt\.sampling=reliabel: config\.adapt\.sampling is 'reliabel'",
        ),
        (
            ["adapt.num_clusters=4"],
            r"^--rows adapt\.num_clusters=4: .*num_clusters is 4, but the target has 3",
        ),
        (["no_cpa", "no_cpa"], r"^--rows: no_cpa occurs twice"),
        (["oracle"], r"^--rows oracle: .*leave it out"),
    ],
)
def test_a_row_that_could_not_run_is_refused_at_once(data, tmp_path, rows, message):
    check(config_of(data), tmp_path)
    with pytest.raises(ConfigError, match=message):
        check(config_of(data), tmp_path, rows=rows)


def test_runs_that_go_on_from_adapted_weights_are_not_compared(data, tmp_path):
    with pytest.raises(
        ConfigError, match=r"config\.adapt\.init_from is 'runs/mine', and what is compared starts"
    ):
        check(config_of(data, adapt__init_from="runs/mine"), tmp_path)


def test_an_oracle_of_fewer_identities_than_a_batch_is_refused_at_once(data, tmp_path):
    names = [f"{pid:04d}_c0001_000.jpg" for pid in range(1, 5)]
    more = {"data.source.root": str(write_rgbnt100(tmp_path / "RGBNT100", {"bounding_box_train": names}))}
    config = config_of(data | more, batch__identities=3, adapt__num_clusters=3)
    with pytest.raises(
        ConfigError, match=r"identities is 3, but the target has 2 training identities, which take"
    ):
        check(config, tmp_path)


def test_a_target_without_identities_has_no_oracle(data, tmp_path, monkeypatch):
    unlabelled = write_wmveid863(tmp_path / "WMVeID863")
    config = config_of(data, data__target__root=str(unlabelled), batch__identities=2)

    def read(name, root, known=study.read):
        found = known(name, root)
        if name == "wmveid863":
            for record in found.splits["train"]:
                object.__setattr__(record, "pid", min(record.pid, 8) - 8)
        return found

    monkeypatch.setattr(study, "read", read)
    with pytest.raises(
        DataError, match=r"training triples without an identity, which the oracle learns from"
    ):
        check(config, tmp_path)


def test_a_source_of_training_triples_alone_is_compared(data, tmp_path):
    base = write_rgbnt100(tmp_path / "RGBNT100")
    for folder in ("query", "bounding_box_test"):
        shutil.rmtree(base / folder)
    check(config_of(data | {"data.source.root": str(base)}), tmp_path)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["train"], r"config\.data\.target: wmveid863 in .* has no training triple"),
        (["query", "test"], r"config\.data\.target, which training scores: .* no query and no gallery"),
    ],
)
def test_a_target_that_lacks_a_split_is_refused_at_once(data, tmp_path, folders, message):
    base = write_wmveid863(tmp_path / "WMVeID863")
    for folder in folders:
        shutil.rmtree(base / folder)
    with pytest.raises(DataError, match=message):
        check(config_of(data | {"data.target.root": str(base)}), tmp_path)


def test_a_folder_that_holds_another_run_is_refused_at_once(data, tmp_path):
    other = planned_runs(config_of(data, man__momentum=0.5), 1, tmp_path, rows=["no_cpa"])["no_cpa"]
    with claim_workdir(other.workdir, other.config):
        pass
    with pytest.raises(
        WorkdirError, match=r"seed1-no_cpa .*config\.man\.momentum is 0\.5 there and 0\.99 here"
    ):
        check(config_of(data), tmp_path, rows=["no_cpa"])


# --- the command, with runs that only say what they were started with

PROGRAM = """
import importlib
import json
import sys
from absl import logging
from man_jax import reproduce
from man_jax.commands import run_command

GAIN = {("pseudo", "cpa"): 0.0, ("pseudo", "fusion"): -0.1, ("truth", "cpa"): 0.1}

def run(config, workdir):
    logging.warning("at work")
    assert "--seeds=0,1" in sys.argv, "begun"
    mAP = 0.5 + 0.01 * config.seed + GAIN[config.adapt.labels, config.man.labels]
    rows = {"source_only": mAP - 0.25, "adapted": mAP, "best_on_test": mAP + 0.05}
    found = {"seed": config.seed} | {row: {"mAP": value, "R1": value + 0.1} for row, value in rows.items()}
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "summary.json").write_text(json.dumps(found))

importlib.import_module("man_jax.engine.training_run").train_or_resume = run
run_command(reproduce.main)
"""


def reproduce(data, out: Path, *words: str) -> subprocess.CompletedProcess:
    keys = [f"--config.{key}={value}" for key, value in data.items()]
    command = [sys.executable, "-c", PROGRAM, "--config=configs/demo.py:smoke", f"--out={out}", *keys, *words]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | QUICK, capture_output=True, text=True, timeout=120
    )


def test_the_tables_are_written_whole(data, tmp_path):
    result = reproduce(data, tmp_path / "new", "--seeds=0,1", "--rows=no_cpa")
    assert result.returncode == 0, result.stderr[-3000:]
    files = {path.name for path in (tmp_path / "new").iterdir() if path.is_file()}
    assert files == {"table.md", "results.json"}
    found = json.loads((tmp_path / "new" / "results.json").read_text())
    assert [each["seed"] for each in found] == [0, 1]
    for seed, each in enumerate(found):
        for of, expected in (
            (each["source_only"], 0.25),
            (each["adapted"], 0.5),
            (each["best_on_test"], 0.55),
            (each["oracle"], 0.6),  # of its last epoch, as all but best_on_test
            (each["rows"]["no_cpa"], 0.4),
        ):
            assert of["mAP"] == pytest.approx(expected + 0.01 * seed)
            assert of["R1"] == pytest.approx(expected + 0.01 * seed + 0.1)
    assert (tmp_path / "new" / "table.md").read_text() in result.stdout + "\n"
    assert log(result)[:4] == [
        "run 1 of 6, seed 0, adapted",
        "seed 0, adapted: at work",
        "run 2 of 6, seed 0, oracle, less than a minute left",
        "seed 0, oracle: at work",
    ]
    assert log(result)[-2:] == [
        "run 6 of 6, seed 1, no_cpa, less than a minute left",
        "seed 1, no_cpa: at work",
    ]


def log(result: subprocess.CompletedProcess) -> list[str]:
    """What a command said, without the time and the place in the code."""
    return [line.partition("] ")[2] for line in result.stderr.splitlines() if "] " in line]


def test_runs_that_are_finished_are_not_run_again(data, tmp_path):
    first = reproduce(data, tmp_path, "--seeds=0,1")
    assert first.returncode == 0, first.stderr[-3000:]
    table = (tmp_path / "table.md").read_text()
    planned = planned_runs(config_of(data), 1, tmp_path, rows=[])
    for name in ("adapted", "oracle"):
        shutil.rmtree(planned[name].workdir)
    result = reproduce(data, tmp_path, "--seeds=0,1")
    assert result.returncode == 0, result.stderr[-3000:]
    assert log(result) == [
        "2 of 4 runs were finished before",
        "run 3 of 4, seed 1, adapted",
        "seed 1, adapted: at work",
        "run 4 of 4, seed 1, oracle, less than a minute left",
        "seed 1, oracle: at work",
    ]
    assert (tmp_path / "table.md").read_text() == table


@pytest.mark.parametrize("words", [["--seeds=0,x"], ["--rows=clip"]])
def test_the_command_refuses_before_the_first_run_and_writes_nothing(data, tmp_path, words):
    result = reproduce(data, tmp_path / "new", *words)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(f"error: {words[0].replace('=', ' ')}: ")
    assert not (tmp_path / "new").exists()
