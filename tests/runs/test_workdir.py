import fcntl
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from man_jax.config import Config, check_config
from man_jax.configs import default
from man_jax.runs.workdir import CONFIG, HISTORY, LOCK, WorkdirError, check_workdir, claim_workdir


def config(**changes) -> Config:
    values = {
        "seed": 0,
        "method": "man",
        "data": {"image_size": (256, 128)},
        "man": {"alpha": 1.0, "beta": 0.8},
    }
    made = ConfigDict(values)
    made.update_from_flattened_dict(changes)
    return made


@pytest.fixture
def claimed(tmp_path):
    workdir = tmp_path / "runs" / "one"
    with claim_workdir(workdir, config()):
        pass
    return workdir


def test_a_new_work_directory_is_made_and_keeps_the_configuration(claimed):
    kept = json.loads((claimed / CONFIG).read_text())
    assert kept == json.loads(json.dumps(config().to_dict()))


def test_the_same_configuration_may_come_again(claimed):
    before = (claimed / CONFIG).read_bytes()
    with claim_workdir(claimed, config()):
        pass
    assert (claimed / CONFIG).read_bytes() == before


def test_another_configuration_is_refused_with_its_keys_and_both_values(claimed):
    with pytest.raises(WorkdirError) as refusal:
        claim_workdir(claimed, config(**{"man.alpha": 0.5, "data.image_size": (64, 32)}))
    message = str(refusal.value)
    assert str(claimed) in message
    assert "config.man.alpha is 1.0 there and 0.5 here" in message
    assert "config.data.image_size is [256, 128] there and [64, 32] here" in message
    assert "beta" not in message
    assert "another --workdir" in message


def test_a_key_that_only_one_of_them_has_is_a_difference(claimed):
    more = config()
    more.man.gamma = 2.0
    with pytest.raises(WorkdirError, match=r"config\.man\.gamma is None there and 2\.0 here"):
        claim_workdir(claimed, more)


def test_a_refusal_leaves_the_configuration_as_it_was(claimed):
    before = (claimed / CONFIG).read_bytes()
    with pytest.raises(WorkdirError):
        claim_workdir(claimed, config(seed=1))
    assert (claimed / CONFIG).read_bytes() == before


def test_what_a_kill_left_half_written_is_no_claim(tmp_path):
    (tmp_path / f"{CONFIG}.partial").write_text('{"seed": 3, "da')
    with claim_workdir(tmp_path, config()):
        pass
    assert json.loads((tmp_path / CONFIG).read_text())["seed"] == 0
    assert {path.name for path in tmp_path.iterdir()} == {CONFIG, LOCK}


def test_other_files_in_the_folder_do_not_matter(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with claim_workdir(tmp_path, config()):
        pass
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_checking_a_work_directory_leaves_nothing_in_it(tmp_path):
    check_workdir(tmp_path / "new", config())
    assert list(tmp_path.iterdir()) == []


def test_a_check_refuses_what_a_claim_would_refuse(claimed):
    with pytest.raises(WorkdirError, match=r"config\.seed is 0 there and 1 here"):
        check_workdir(claimed, config(seed=1))


# --- one process at a time

HOLDER = """
import fcntl, sys, time
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(300)
"""


def test_a_work_directory_in_which_another_process_is_at_work_is_refused_until_that_is_killed(claimed):
    command = [sys.executable, "-c", HOLDER, str(claimed / LOCK)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(WorkdirError, match=r"one is in use by another process; .* another --workdir"):
                claim_workdir(claimed, config())
        finally:
            holder.kill()
    with claim_workdir(claimed, config()):
        pass


def test_a_claim_holds_until_it_is_left(claimed):
    with claim_workdir(claimed, config()), pytest.raises(WorkdirError, match="in use"):
        claim_workdir(claimed, config())
    with claim_workdir(claimed, config()):
        pass


def test_a_refused_claim_holds_nothing(claimed):
    with pytest.raises(WorkdirError, match=r"config\.seed"):
        claim_workdir(claimed, config(seed=1))
    with claim_workdir(claimed, config()):
        pass


def test_a_file_system_without_locks_is_no_reason_to_refuse(claimed, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with claim_workdir(claimed, config()):
        pass


@pytest.mark.parametrize("name", [b"\xb3\xb5", b"caf\xe9", b"run\xff/one"])
def test_a_name_that_no_checkpoint_can_be_kept_under_is_refused(tmp_path, name):
    workdir = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    with pytest.raises(WorkdirError, match=r"\\x[0-9a-f]{2}.*: its name, or the locale, is not UTF-8"):
        check_workdir(workdir, config())


# --- keys that may differ


@pytest.fixture
def whole(tmp_path):
    """A work directory of the full configuration."""
    with claim_workdir(tmp_path / "whole", default.get_config()):
        pass
    return tmp_path / "whole"


OTHER_VALUES = {
    "experiment": "named",
    "trackers": "mlflow",
    "data.source.root": "/mnt/source",
    "data.target.root": "/mnt/target",
    "data.prepared": "/scratch",
    "data.workers": 4,
    "data.storage": "shards",
    "evaluation.batch_size": 8,
    "evaluation.every": 5,
    "evaluation.checkpoints": 5,
    "model.application": "scan",
    "model.convolution": "lax",
    "model.remat": "block",
    "man.memories": "sharded",
    "adapt.kmeans_devices": "all",
    "adapt.features": "mapped",
}


def test_every_key_that_may_differ_is_tried():
    assert {*default.PLACES, *default.EFFORT} == OTHER_VALUES.keys()


@pytest.mark.parametrize("key", OTHER_VALUES)
def test_a_place_or_an_effort_may_differ_and_is_said_with_both_values(whole, caplog, key):
    config = default.get_config()
    before = config.to_json()
    config.update_from_flattened_dict({key: OTHER_VALUES[key]})
    with caplog.at_level("INFO", logger="absl"), claim_workdir(whole, config):
        pass
    assert f"config.{key} was " in caplog.text
    assert f" and is {OTHER_VALUES[key]!r} from now on" in caplog.text
    was = json.loads((whole / HISTORY).read_text())["was"]
    part = json.loads(before)
    for name in key.split("."):
        part = part[name]
    assert was == {key: part}
    check_workdir(whole, config)


@pytest.mark.parametrize(
    "key",
    [
        *("seed", "data.image_size", "data.source.name", "data.target.deep_range", "evaluation.modalities"),
        *("model.dtype", "model.last_stride", "augment.std", "batch.instances", "man.momentum"),
    ],
)
def test_a_key_that_changes_the_result_may_not_differ(whole, key):
    config = default.get_config()
    value = config
    for name in key.split("."):
        value = value[name]
    others = {"evaluation.modalities": ("R",), "model.dtype": "bfloat16", "data.source.name": "folder"}
    other = others.get(key) or (
        tuple(2 * x + 1 for x in value) if isinstance(value, tuple) else value / 2 or 3
    )
    with config.unlocked():
        config.update_from_flattened_dict({key: type(value)(other)})
    with pytest.raises(WorkdirError, match=rf"config\.{key} is .* there and .* here"):
        check_workdir(whole, config)


def test_a_key_of_a_method_that_is_not_used_may_differ(tmp_path):
    config = default.get_config()
    config.method = "another"
    with claim_workdir(tmp_path, config):
        pass
    config.man.alpha = 0.25
    check_workdir(tmp_path, config)
    config.method = "man"
    with pytest.raises(WorkdirError, match=r"config\.method is 'another' there and 'man' here"):
        check_workdir(tmp_path, config)


def test_more_epochs_are_refused_with_the_way_to_them(whole):
    config = default.get_config()
    config.adapt.epochs += 20
    with pytest.raises(
        WorkdirError,
        match=rf"--workdir {whole}-longer --config\.adapt\.init_from={whole} --config\.adapt\.epochs=20$",
    ):
        check_workdir(whole, config)


@pytest.mark.parametrize("key", ["model.pretrained", "pretrain.init_from"])
def test_the_way_to_more_epochs_empties_the_other_key_that_names_weights(tmp_path, key):
    config = default.get_config()
    config.update_from_flattened_dict({key: "/weights/of another"})
    workdir = tmp_path / "my run"
    with claim_workdir(workdir, config):
        pass
    config.adapt.epochs += 3
    with pytest.raises(WorkdirError) as refusal:
        check_workdir(workdir, config)
    advised = shlex.split(str(refusal.value).partition("but for ")[2])
    assert advised == [
        *("--workdir", f"{workdir}-longer", f"--config.{key}="),
        *(f"--config.adapt.init_from={workdir}", "--config.adapt.epochs=3"),
    ]
    config.update_from_flattened_dict({key: "", "adapt.init_from": str(workdir), "adapt.epochs": 3})
    check_config(config, num_devices=1)


def test_longer_pre_training_is_said_to_be_another_run(whole):
    config = default.get_config()
    config.pretrain.epochs += 1
    with pytest.raises(WorkdirError, match="pre-train anew in another --workdir"):
        check_workdir(whole, config)


def test_fewer_epochs_are_refused_without_that_advice(whole):
    config = default.get_config()
    config.adapt.epochs -= 1
    with pytest.raises(WorkdirError) as refusal:
        check_workdir(whole, config)
    assert "init_from" not in str(refusal.value)
