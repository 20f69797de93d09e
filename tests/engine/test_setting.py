"""What a run refuses before its first step, and that a refusal leaves nothing a corrected command would trip over."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from configs import demo
from configs.variants import turn
from man_jax.config import Config, ConfigError
from man_jax.engine import setting
from man_jax.engine.checkpoint import CHECKPOINTS, save_pretrained
from man_jax.engine.domains import Domain, number_identities
from man_jax.engine.optimizer import make_optimizer
from man_jax.engine.workdir import WorkdirError, claim_workdir
from tests.engine.splits import new_dataset, new_split
from tests.engine.tiny import IMAGE_SIZE, new_state


@pytest.fixture
def data(monkeypatch) -> SimpleNamespace:
    """Two data sets that lie in memory: how many identities each has, and how often they were opened."""
    data = SimpleNamespace(source=7, target=7, openings=0)

    def domain(num_identities: int) -> Domain:
        split = new_split(np.arange(24) % num_identities, image_size=IMAGE_SIZE)
        return Domain(new_dataset(split, split, split), number_identities(split.pids))

    def open_domains(_):
        data.openings += 1
        return domain(data.source), domain(data.target)

    monkeypatch.setattr(setting, "open_domains", open_domains)
    return data


def small(row: str = "paper", **changes) -> Config:
    config = turn(demo.get_config("smoke"), row)
    config.model.update(stage_sizes=(1,), width=4)
    config.update_from_flattened_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config


def test_a_run_to_start_from_that_does_not_exist_is_refused_before_any_data_is_opened(data, tmp_path):
    with pytest.raises(ConfigError, match=r"config\.pretrain\.init_from: .*nowhere.* does not exist"):
        setting.open_setting(small(pretrain__init_from=str(tmp_path / "nowhere")), tmp_path / "mine")
    assert data.openings == 0
    assert not (tmp_path / "mine").exists()


def test_a_run_to_start_from_that_does_not_fit_is_refused_before_a_work_directory_is_claimed(data, tmp_path):
    save_pretrained(tmp_path / "other", new_state(make_optimizer("adam", lambda _: 0.1, weight_decay=0.0)))
    with pytest.raises(ConfigError, match="does not fit this model"):
        setting.open_setting(small(pretrain__init_from=str(tmp_path / "other")), tmp_path / "mine")
    assert data.openings == 1
    assert not (tmp_path / "mine").exists()


@pytest.mark.usefixtures("data")
def test_a_run_that_goes_on_does_not_need_the_run_it_started_from(tmp_path):
    (tmp_path / CHECKPOINTS / "2").mkdir(parents=True)
    made = setting.open_setting(small(pretrain__init_from=str(tmp_path / "gone")), tmp_path)
    with made.claim, pytest.raises(WorkdirError, match="in use by another process"):
        setting.open_setting(made.config, tmp_path)
    assert made.pretrain_epochs == 0


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("place", [0, 1])
def test_what_process_0_is_refused_every_process_is(tmp_path, monkeypatch, place):
    """Of two, each alone: process 0 tells that it failed, and process 1 hears it."""
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: place)
    monkeypatch.setattr(multihost_utils, "broadcast_one_to_all", lambda told: told if place == 0 else False)
    with (
        claim_workdir(tmp_path, small()),
        pytest.raises(WorkdirError, match=("in use", "process 0 could")[place]),
    ):
        setting.open_setting(small(), tmp_path)


def test_an_oracle_with_fewer_identities_than_a_batch_is_refused_before_pre_training(data, tmp_path):
    data.source, data.target = 9, 6
    config = small("oracle", batch__identities=8)
    with pytest.raises(
        ConfigError, match="identities is 8, but the target has 6 training identities, which take"
    ):
        setting.open_setting(config, tmp_path / "mine")
    assert not (tmp_path / "mine").exists()
