import pytest

from configs import demo
from man_jax.config import ConfigError
from man_jax.reproduce import turned


def test_a_row_is_a_variant_or_one_key_s_other_value():
    config = demo.get_config()
    assert turned(config, "no_pda").loss.alpha == 0.0
    assert turned(config, "adapt.sampling=reliable").adapt.sampling == "reliable"
    assert turned(config, "loss.alpha=0.5").loss.alpha == 0.5
    assert turned(config, "loss.alpha=2").loss.alpha == 2.0
    assert turned(config, "adapt.num_clusters=64").adapt.num_clusters == 64
    assert turned(config, "augment.per_modality=False").augment.per_modality is False
    assert turned(config, "model.modalities=('R', 'T')").model.modalities == ("R", "T")


def test_a_row_leaves_the_experiment_as_it_was():
    config = demo.get_config()
    turned(config, "no_pda")
    turned(config, "adapt.sampling=reliable")
    assert config.to_json() == demo.get_config().to_json()


@pytest.mark.parametrize("row", ["no_cap", "loss.alfa=0.5", "adapt.num_clusters=many", "adapt.epochs=0.5"])
def test_a_row_that_does_not_exist_is_refused_by_name(row):
    with pytest.raises(ConfigError, match=f"--rows {row}: .*name a variant or KEY=VALUE"):
        turned(demo.get_config(), row)
