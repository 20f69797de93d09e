"""Weights are taken for what they are: of which network, of which images, of whose identities."""

import json
import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from man_jax.config import Config, ConfigError
from man_jax.configs import default
from man_jax.engine.optimizer import make_optimizer
from man_jax.frame import TRAINED
from man_jax.runs.checkpoint import (
    CHECKPOINTS,
    PRETRAINED,
    open_checkpoints,
    restore_adapted,
    save_pretrained,
    save_state,
)
from man_jax.runs.metrics import MetricsWriter
from man_jax.runs.seal import SEAL, write_seal
from man_jax.runs.starting_weights import find_beginning
from man_jax.runs.used_data import describe_data, write_data
from man_jax.runs.weights_meaning import check_source, check_weights_of_run, describe_weights, meaning
from man_jax.runs.workdir import claim_workdir
from man_jax.sharding import make_mesh
from tests.engine.splits import new_domain
from tests.engine.tiny import NUM_SOURCE, assert_same, new_state
from tests.runs.test_used_data import with_contents

OPTIMIZER = make_optimizer("adam", lambda _: 0.1, weight_decay=0.0)


def configured(**changes) -> Config:
    config = default.get_config()
    config.update_from_flattened_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config


@pytest.fixture(scope="module")
def state():
    return new_state(OPTIMIZER, seed=3)


@pytest.fixture(scope="module")
def other(tmp_path_factory, state) -> Path:
    """A run that was pre-trained and adapted under the default configuration."""
    workdir, config = tmp_path_factory.mktemp("other"), default.get_config()
    about = {"keys": meaning(config)}
    with claim_workdir(workdir, config):
        save_pretrained(workdir, state, about, num_source=NUM_SOURCE)
        with open_checkpoints(workdir) as checkpoints:
            save_state(checkpoints, state.replace(step=np.int32(5)), about)
        with MetricsWriter(workdir) as writer:
            writer.write({"loss/total": 1.0}, step=5, epoch=1, phase="adapt")
    return workdir


ANOTHER = [
    {"model__modalities": ("R", "N")},
    {"augment__mean": (0.5, 0.5, 0.5)},
    {"augment__std": (0.5, 0.5, 0.5)},
    {"model__last_stride": 2},
    {"model__fusion_neck": "own"},
    {"model__stage_sizes": (3, 4, 23, 3)},
    {"model__backbone": "vit"},
    {"data__source__deep_range": (0, 4095)},
]


@pytest.mark.parametrize("key", ["pretrain.init_from", "adapt.init_from"])
@pytest.mark.parametrize("changes", ANOTHER)
def test_weights_for_another_network_or_other_images_are_refused_by_key_and_both_values(other, key, changes):
    config = configured(**changes)
    config.update_from_flattened_dict({key: str(other)})
    name = next(iter(changes)).replace("__", ".")
    wanted = rf"^config\.{key}: the weights of .*config\.{name} is .* there and .* here"
    with pytest.raises(ConfigError, match=wanted):
        find_beginning(config)


@pytest.mark.parametrize(
    "changes",
    [
        {"model__remat": "block", "model__application": "loop", "model__dtype": "bfloat16"},
        {"data__image_size": (384, 128), "data__target__deep_range": (0, 4095)},
        {"model__vit__heads": 6, "seed": 4, "pretrain__epochs": 3, "adapt__num_clusters": 9},
    ],
)
def test_what_does_not_change_the_meaning_of_weights_may_differ(other, changes):
    found = find_beginning(configured(pretrain__init_from=str(other), **changes))
    assert found is not None
    assert found.workdir == other


@pytest.mark.parametrize(
    "changes", [{"data__image_size": (128, 256)}, {"model__vit__stride": 12}, {"model__vit__heads": 6}]
)
def test_of_a_vit_the_grid_and_the_heads_count(changes):
    assert meaning(configured(model__backbone="vit", **changes)) != meaning(configured(model__backbone="vit"))


def test_an_activation_left_to_the_backbone_is_the_one_it_has():
    assert meaning(configured(model__backbone="clip")) == meaning(
        configured(model__backbone="clip", model__vit__activation="quick_gelu")
    )


def test_without_a_seal_the_configuration_beside_the_weights_tells(other, tmp_path):
    workdir = tmp_path / "older"
    (workdir / "pretrained").mkdir(parents=True)
    (workdir / "config.json").write_text((other / "config.json").read_text())
    with pytest.raises(ConfigError, match=r"config\.model\.last_stride is 1 there and 2 here"):
        find_beginning(configured(pretrain__init_from=str(workdir), model__last_stride=2))


def test_weights_that_say_nothing_of_themselves_are_taken_with_a_warning(tmp_path, caplog):
    (tmp_path / "pretrained").mkdir()
    with caplog.at_level("WARNING", logger="absl"):
        find_beginning(configured(pretrain__init_from=str(tmp_path)))
    assert "does not say of which network its weights are" in caplog.text


def test_a_checkpoint_whose_configuration_was_edited_is_refused(other):
    folder = other / CHECKPOINTS / "5"
    check_weights_of_run(other, folder, default.get_config())
    with pytest.raises(ConfigError, match=r"last_stride is 1 there and 2 here.*Restore that file"):
        check_weights_of_run(other, folder, configured(model__last_stride=2))
    assert json.loads((folder / SEAL).read_text())["about"]["keys"]["model.last_stride"] == 1


# --- whose identities


@pytest.mark.parametrize(
    ("labels", "modality", "pids", "message"),
    [
        ("other", "R", (1, 2), "other pids, camids or scenes"),
        ("same", "other", (1, 2), "other image files of R"),
        ("same", "R", (1, 2, 3), "had 2 triples of 2 identities and has 3 of 3"),
    ],
)
def test_another_source_is_refused(tmp_path, labels, modality, pids, message):
    there, here = new_domain([1, 2]).data, new_domain(pids).data
    write_data(tmp_path, describe_data(with_contents(there, labels="same", R="R"), there))
    used = describe_data(with_contents(here, labels=labels, R=modality), here)
    with pytest.raises(ConfigError, match=rf"init_from: the source of .*{message}.*columns of its heads"):
        check_source("pretrain.init_from", tmp_path, tmp_path / PRETRAINED, used)


def test_another_target_is_no_reason_to_refuse(tmp_path):
    source, target = new_domain([1, 2]).data, new_domain([5, 6, 7]).data
    write_data(tmp_path, describe_data(source, source))
    check_source("pretrain.init_from", tmp_path, tmp_path / PRETRAINED, describe_data(source, target))


def test_a_run_that_kept_no_fingerprint_is_taken_with_a_warning(tmp_path, caplog):
    data = new_domain([1, 2]).data
    with caplog.at_level("WARNING", logger="absl"):
        check_source("pretrain.init_from", tmp_path, tmp_path / PRETRAINED, describe_data(data, data))
    assert "kept no fingerprint of its data" in caplog.text


# --- folders of several runs, copied together


def sealed(folder: Path, config: Config, used) -> Path:
    folder.mkdir(parents=True)
    write_seal(folder, describe_weights(config, used))
    return folder


@pytest.mark.parametrize("folder", [PRETRAINED, "checkpoints/5"])
def test_weights_learnt_from_another_source_than_the_run_names_are_refused(tmp_path, folder):
    data, other = new_domain([1, 2]).data, new_domain([1, 2, 3]).data
    mine, foreign = describe_data(data, data), describe_data(other, data)
    write_data(tmp_path, mine)
    weights = sealed(tmp_path / folder, default.get_config(), foreign)
    with pytest.raises(
        ConfigError, match=r"learnt from another source than .*data\.json names: its train had 3 "
    ):
        check_weights_of_run(tmp_path, weights, default.get_config())
    with pytest.raises(ConfigError, match=r"the source of .* is another one: its train had 3 triples"):
        check_source("pretrain.init_from", tmp_path, weights, mine)


@pytest.mark.parametrize("changes", [{"seed": 1}, {"man__momentum": 0.5}, {"pretrain__epochs": 3}])
def test_a_checkpoint_of_a_run_with_another_value_of_any_key_is_refused(tmp_path, changes):
    data = new_domain([1, 2]).data
    folder = sealed(tmp_path / "5", configured(**changes), describe_data(data, data))
    name = next(iter(changes)).replace("__", ".")
    with pytest.raises(ConfigError, match=rf"config\.{name} is .* there and .* here"):
        check_weights_of_run(tmp_path, folder, default.get_config())


def test_of_the_methods_keys_those_of_the_run_s_own_count(tmp_path):
    data = new_domain([1, 2]).data
    used = describe_data(data, data)
    folder = sealed(tmp_path / "5", configured(method="another", man__momentum=0.5), used)
    check_weights_of_run(tmp_path, folder, configured(method="another"))
    with pytest.raises(ConfigError, match=r"config\.method is 'another' there and 'man' here"):
        check_weights_of_run(tmp_path, folder, default.get_config())


def test_pre_trained_weights_of_a_run_of_another_method_are_taken(other):
    assert find_beginning(configured(method="another", pretrain__init_from=str(other))) is not None


def test_a_checkpoint_that_an_older_version_described_is_known_by_today_s_names(tmp_path):
    old = {new: name for name, new in default.MOVED.items()}
    about = describe_weights(configured(man__labels="fusion"), {})
    about["run"] = {old.get(key, key): value for key, value in about["run"].items()} | {
        "adapt.labels": "fusion"
    }
    del about["run"]["man.labels"], about["run"]["method"]
    (tmp_path / "5").mkdir()
    write_seal(tmp_path / "5", about)
    check_weights_of_run(tmp_path, tmp_path / "5", configured(man__labels="fusion"))
    for key, value in {"man.labels": "cpa", "man.momentum": 0.5}.items():
        with pytest.raises(ConfigError, match=rf"config\.{key} is .* there and .* here"):
            check_weights_of_run(
                tmp_path,
                tmp_path / "5",
                configured(**{"man__labels": "fusion"} | {key.replace(".", "__"): value}),
            )


def test_a_checkpoint_of_a_run_that_was_elsewhere_or_took_less_memory_is_taken(tmp_path):
    data = new_domain([1, 2]).data
    config = configured(
        data__source__root="/mnt/s", model__remat="block", evaluation__every=2, experiment="x"
    )
    folder = sealed(tmp_path / "5", config, describe_data(data, data))
    write_data(tmp_path, describe_data(data, data))
    check_weights_of_run(tmp_path, folder, default.get_config())


# --- adapted weights


def test_adaptation_goes_on_from_adapted_weights_with_all_else_new(other, state):
    like = new_state(OPTIMIZER, seed=1)
    begun = restore_adapted(other, TRAINED, like, make_mesh(jax.devices()[:1]), num_source=NUM_SOURCE)
    assert_same(begun.params["branches"], state.params["branches"])
    assert_same(begun.statistics, state.statistics)
    kernels = [np.asarray(each.params["heads"]["fused"]["kernel"]) for each in (begun, state, like)]
    np.testing.assert_array_equal(kernels[0][:, :NUM_SOURCE], kernels[1][:, :NUM_SOURCE])
    np.testing.assert_array_equal(kernels[0][:, NUM_SOURCE:], kernels[2][:, NUM_SOURCE:])
    for part in ("step", "opt_state", "slots", "key"):
        assert_same(getattr(begun, part), getattr(like, part))


def test_a_run_that_has_not_begun_to_adapt_is_refused_with_the_other_key(other, tmp_path):
    shutil.copytree(other / CHECKPOINTS, tmp_path / CHECKPOINTS)
    with MetricsWriter(tmp_path) as writer:
        writer.write({"loss/total": 1.0}, step=5, epoch=1, phase="pretrain")
    wanted = rf"adapt\.init_from: .* has not begun to adapt.*pretrain\.init_from={re.escape(str(tmp_path))}"
    with pytest.raises(ConfigError, match=wanted):
        find_beginning(configured(adapt__init_from=str(tmp_path)))


def test_a_folder_without_checkpoints_is_an_error_of_the_key(tmp_path):
    with pytest.raises(ConfigError, match=r"^config\.adapt\.init_from: .* holds no checkpoint"):
        find_beginning(configured(adapt__init_from=str(tmp_path)))
