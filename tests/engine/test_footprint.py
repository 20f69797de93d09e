"""The step whose memory is told is the step of the run."""

from types import SimpleNamespace

import pytest

from data_pipelines.reading.datasets import FACTS
from man_jax.config import ConfigError
from man_jax.engine import footprint
from tests.engine.tiny import small_config


@pytest.fixture
def lowered(monkeypatch) -> list:
    """What the step was to be compiled for: (state, source, target). Nothing is compiled."""
    heard: list = []
    sizes = SimpleNamespace(
        argument_size_in_bytes=4 * 2**30,
        output_size_in_bytes=3 * 2**30,
        alias_size_in_bytes=2 * 2**30,
        temp_size_in_bytes=5 * 2**30,
    )
    compiled = SimpleNamespace(memory_analysis=lambda: sizes)

    def trace(*arguments):
        heard.append(arguments)
        return SimpleNamespace(lower=lambda: SimpleNamespace(compile=lambda: compiled))

    monkeypatch.setattr(footprint, "make_step", lambda *_: SimpleNamespace(trace=trace))
    return heard


def test_the_figures_add_up(lowered):
    found = footprint.step_footprint(small_config())
    assert (found["state and batches, GiB"], found["results besides, GiB"]) == (4.0, 1.0)
    assert found["in all, GiB"] == 10.0
    assert len(lowered) == 1


def test_the_step_is_given_a_batch_of_each_domain(lowered):
    footprint.step_footprint(small_config())
    _, source, target = lowered[0]
    assert source == target
    assert source.images.shape == (8, 3, 32, 32, 3)


def test_the_us_protocol_s_step_is_given_no_source(lowered):
    footprint.step_footprint(small_config("us"))
    _, source, target = lowered[0]
    assert source is None
    assert target.images.shape == (8, 3, 32, 32, 3)


@pytest.mark.parametrize(
    ("row", "classes"), [("paper", 6), ("oracle", FACTS["wmveid863"].published["train"][1])]
)
def test_target_classes_are_clusters_or_the_oracle_s_identities(lowered, row, classes):
    footprint.step_footprint(small_config(row))
    state, _, _ = lowered[0]
    num_source = FACTS["rgbnt100"].published["train"][1]
    assert state.slots.banks.target.valid.shape == (classes,)
    assert state.params["heads"]["fused"]["kernel"].shape[-1] == num_source + classes


def test_a_set_of_unknown_size_is_refused_with_the_known_ones(lowered):
    config = small_config()
    config.data.target.name = "folder"
    with pytest.raises(
        ConfigError, match=r"config\.data\.target\.name is 'folder'.*--compile_only.*rgbnt100"
    ):
        footprint.step_footprint(config)
    assert lowered == []
