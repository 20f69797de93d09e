"""What a run is put together from, and what it refuses before its first step.

A refusal leaves nothing that a corrected command would trip over.
"""

import re
from types import SimpleNamespace

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.experimental import multihost_utils

from man_jax.config import Config, ConfigError
from man_jax.engine import run_parts
from man_jax.engine.optimizer import make_optimizer
from man_jax.runs.checkpoint import CHECKPOINTS, save_pretrained
from man_jax.runs.metrics import MetricsWriter
from man_jax.runs.workdir import WorkdirError, claim_workdir
from man_jax.sharding import make_mesh
from tests.engine.splits import new_domain
from tests.engine.tiny import IMAGE_SIZE, NUM_SOURCE, new_state, small_config
from tests.runs.test_state_layout import save_old_form


@pytest.fixture
def data(monkeypatch) -> SimpleNamespace:
    """Data sets of 40 and 24 triples in memory: how many identities each has, and how often they were opened."""
    data = SimpleNamespace(source=7, target=7, openings=0)

    def open_domains(_):
        data.openings += 1
        return (
            new_domain(np.arange(40) % data.source, image_size=IMAGE_SIZE),
            new_domain(np.arange(24) % data.target, image_size=IMAGE_SIZE),
        )

    monkeypatch.setattr(run_parts, "open_domains", open_domains)
    return data


def test_a_run_to_start_from_that_does_not_exist_is_refused_before_any_data_is_opened(data, tmp_path):
    with pytest.raises(ConfigError, match=r"config\.pretrain\.init_from: .*nowhere.* does not exist"):
        run_parts.open_run(small_config(pretrain__init_from=str(tmp_path / "nowhere")), tmp_path / "mine")
    assert data.openings == 0
    assert not (tmp_path / "mine").exists()


def test_a_run_to_start_from_that_does_not_fit_is_refused_before_a_work_directory_is_claimed(data, tmp_path):
    (tmp_path / "other").mkdir()
    save_pretrained(
        tmp_path / "other",
        new_state(make_optimizer("adam", lambda _: 0.1, weight_decay=0.0)),
        num_source=NUM_SOURCE,
    )
    with pytest.raises(ConfigError, match="does not fit this model"):
        run_parts.open_run(small_config(pretrain__init_from=str(tmp_path / "other")), tmp_path / "mine")
    assert data.openings == 1
    assert not (tmp_path / "mine").exists()


@pytest.mark.usefixtures("data")
def test_a_run_that_goes_on_does_not_need_the_run_it_started_from(tmp_path):
    (tmp_path / CHECKPOINTS / "2").mkdir(parents=True)
    made = run_parts.open_run(small_config(pretrain__init_from=str(tmp_path / "gone")), tmp_path)
    with made.claim, pytest.raises(WorkdirError, match="in use by another process"):
        run_parts.open_run(made.config, tmp_path)
    assert made.pretrain_epochs == 0


@pytest.mark.usefixtures("data")
def test_that_process_0_is_refused_the_work_directory_is_told_to_the_others(tmp_path, monkeypatch):
    told = []

    def gather(line):
        told.append(line.tobytes().decode().strip())
        return np.stack([line, np.full_like(line, ord(" "))])

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(multihost_utils, "broadcast_one_to_all", lambda values: values)
    monkeypatch.setattr(multihost_utils, "process_allgather", gather)
    monkeypatch.setattr(run_parts, "make_mesh", lambda: make_mesh(jax.devices()[:4]))
    with claim_workdir(tmp_path, small_config()), pytest.raises(WorkdirError, match="in use"):
        run_parts.open_run(small_config(), tmp_path)
    assert [*filter(None, told)] == [told[-1]]
    assert re.match(r"WorkdirInUseError .* is in use by another process", told[-1])


def test_an_oracle_with_fewer_identities_than_a_batch_is_refused_before_pre_training(data, tmp_path):
    data.source, data.target = 9, 6
    config = small_config("oracle", batch__identities=8)
    with pytest.raises(
        ConfigError, match="identities is 8, but the target has 6 training identities, which take"
    ):
        run_parts.open_run(config, tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


# --- the parts


@pytest.fixture
def opened(data, tmp_path, monkeypatch):
    """Opens a run of a configuration, some of whose parts are what they were asked for."""
    del data
    told = {
        "build_optimizer": lambda phase, iterations: (phase.optimizer, phase.learning_rate, iterations),
        "make_step": lambda *parts: ("step", parts[2]),
        "make_extract": lambda *parts: parts[1],
    }
    for name, part in told.items():
        monkeypatch.setattr(run_parts, name, part)

    def open_run(config: Config):
        made = run_parts.open_run(config, tmp_path)
        with made.claim:
            return made

    return open_run


def test_each_phase_has_the_optimiser_and_the_step_of_its_own_keys(opened):
    config = small_config(pretrain__iterations=3, pretrain__optimizer="sgd", pretrain__learning_rate=0.5)
    config.adapt.update(iterations=9, optimizer="adam", learning_rate=0.25)
    made = opened(config)
    assert made.pretrain_optimizer == ("sgd", 0.5, 3)
    assert made.adapt_optimizer == ("adam", 0.25, 9)
    assert made.pretrain_step == ("step", made.pretrain_optimizer)
    assert made.adapt_step == ("step", made.adapt_optimizer)
    assert made.pretrain_steps == 3 * config.pretrain.epochs


def test_without_a_number_an_epoch_of_pre_training_is_one_pass_over_the_source(opened):
    made = opened(small_config(pretrain__iterations=0))
    assert made.pretrain_iterations == 40 // 8  # of its 40 triples, in batches of 4 × 2


def test_features_are_of_images_normalised_as_those_of_training(opened):
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.5, 0.4)
    assert opened(small_config(augment__mean=mean, augment__std=std)).extract == (mean, std)


@pytest.mark.parametrize(("row", "num_target"), [("paper", 6), ("oracle", 7)])
def test_target_classes_are_the_clusters_or_the_oracle_s_identities(opened, row, num_target):
    made = opened(small_config(row))
    assert made.config.adapt.num_clusters == 6
    assert made.frame.space == (made.domains.source.num_identities, num_target)
    assert made.frame.model.num_classes == made.domains.source.num_identities + num_target


def test_a_method_is_told_the_training_triples_of_both_domains(opened):
    made = opened(small_config())
    assert made.frame.num_triples == (40, 24)
    for cameras, domain in zip(made.frame.cameras, made.domains, strict=True):
        assert cameras is domain.cameras


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("ahead", [0, 1])
def test_a_run_goes_on_with_the_optimiser_of_the_phase_it_was_in(tmp_path, monkeypatch, ahead):
    """At the boundary that is still pre-training's: the new one begins with the first epoch of adaptation."""
    made = run_parts.open_run(small_config(pretrain__optimizer="sgd"), tmp_path)
    (tmp_path / CHECKPOINTS / str(made.pretrain_steps + ahead)).mkdir(parents=True)
    monkeypatch.setattr(run_parts, "restore_state", lambda *arguments, **_: arguments[2])
    with MetricsWriter(tmp_path) as writer:
        for step in {made.pretrain_steps, made.pretrain_steps + ahead}:
            writer.write({"eval/mAP": 0.5}, step=step, epoch=1, phase="pretrain")
    with made.claim:
        like = run_parts.first_state(made)
    optimizer = (made.pretrain_optimizer, made.adapt_optimizer)[ahead]
    wanted = jax.eval_shape(optimizer.init, like.params)
    assert jax.tree.structure(like.opt_state) == jax.tree.structure(wanted)
    assert bool(like.slots) == bool(ahead)


@pytest.mark.usefixtures("data")
def test_a_run_that_an_older_version_began_is_refused_and_left_as_it_was(tmp_path):
    with claim_workdir(tmp_path, small_config()):
        save_old_form(tmp_path, new_state(make_optimizer("adam", lambda _: 0.1, weight_decay=0.0)), step=7)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(WorkdirError, match="go on with the version that began it"):
        run_parts.open_run(small_config(), tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.usefixtures("data")
def test_a_run_keeps_as_many_checkpoints_as_its_configuration_says(opened):
    made = opened(small_config(evaluation__checkpoints=3))
    for step in range(5):
        made.checkpoints.save(step, args=ocp.args.StandardSave({"step": np.array(step)}))
    assert made.checkpoints.all_steps() == [2, 3, 4]
