"""A trained network as `python -m man_jax.evaluate` opens it. What is read from the disk: test_checkpoint."""

import shutil

import jax
import numpy as np
import pytest

from man_jax.config import ConfigError
from man_jax.configs import default
from man_jax.engine import trained_network
from man_jax.runs.checkpoint import open_checkpoints, save_pretrained, save_state
from man_jax.sharding import make_mesh
from tests.engine.tiny import NUM_SOURCE, assert_same

MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.5, 0.4)


@pytest.fixture
def open_run(state, tmp_path, monkeypatch):
    """Opens a run that left its pre-trained weights and those of step 5; the extractor is what it is made of."""
    monkeypatch.setattr(
        trained_network, "make_extract", lambda model, normalization, _: (model, normalization)
    )
    save_pretrained(tmp_path, state, num_source=NUM_SOURCE)
    with open_checkpoints(tmp_path) as checkpoints:
        save_state(checkpoints, state.replace(step=np.int32(5)))
    config = default.get_config()
    config.augment.update(mean=MEAN, std=STD)
    mesh = make_mesh(jax.devices()[:1])

    def open_run(
        *, pretrained: bool, present: tuple[str, ...] = ("R", "N", "T")
    ) -> trained_network.TrainedNetwork:
        return trained_network.open_trained(
            tmp_path, config, pretrained=pretrained, present=present, mesh=mesh
        )

    return open_run


def test_every_checkpoint_is_opened_from_the_first_to_the_last_and_damaged_ones_are_left_out(
    state, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(trained_network, "make_extract", lambda *_: object())
    with open_checkpoints(tmp_path, keep=3) as checkpoints:
        for step in (5, 6, 7):
            shifted = jax.tree.map(lambda leaf, by=step: leaf + by, state.params)
            save_state(checkpoints, state.replace(step=np.int32(step), params=shifted))
    shutil.rmtree(tmp_path / "checkpoints/6/default")
    mesh = make_mesh(jax.devices()[:1])
    found = list(
        trained_network.open_every_checkpoint(
            tmp_path, default.get_config(), present=("R", "N", "T"), mesh=mesh
        )
    )
    assert [each.description for each in found] == ["step 5", "step 7"]
    assert found[0].extract is found[1].extract
    for each, step in zip(found, (5, 7), strict=True):
        shifted = jax.tree.map(lambda leaf, by=step: leaf + by, state.params["branches"])
        assert_same(each.variables["params"]["branches"], shifted)
        assert_same(each.variables["batch_stats"]["branches"], state.statistics.target["branches"])
    assert "the checkpoint of step 6" in caplog.text


def test_a_run_without_a_whole_checkpoint_is_refused_at_once(state, tmp_path):
    with open_checkpoints(tmp_path) as checkpoints:
        save_state(checkpoints, state)
    [folder] = (tmp_path / "checkpoints").glob("[0-9]*")
    shutil.rmtree(folder / "default")
    mesh = make_mesh(jax.devices()[:1])
    with pytest.raises(ConfigError, match="none of the checkpoints"):
        trained_network.open_every_checkpoint(tmp_path, default.get_config(), present=("R",), mesh=mesh)


def test_images_are_normalised_as_those_of_training(open_run):
    assert open_run(pretrained=False).extract[1] == (MEAN, STD)


@pytest.mark.parametrize(
    ("pretrained", "domain", "description"), [(False, "target", "step 5"), (True, "source", "pre-trained")]
)
def test_statistics_are_the_target_s_or_those_of_before_adaptation(
    open_run, state, pretrained, domain, description
):
    found = open_run(pretrained=pretrained)
    assert_same(found.variables["params"]["branches"], state.params["branches"])
    assert_same(found.variables["batch_stats"]["branches"], getattr(state.statistics, domain)["branches"])
    assert found.description == description


def test_only_the_branches_of_the_modalities_that_are_present_are_there(open_run, state):
    found = open_run(pretrained=False, present=("R", "T"))
    assert found.extract[0].num_modalities == 2
    kept = jax.tree.map(lambda leaf: np.asarray(leaf)[[0, 2]], state.params["branches"])
    assert_same(found.variables["params"]["branches"], kept)
