import pytest

from configs import demo
from configs.variants import turn


def test_a_row_is_a_variant_or_another_value_of_a_key():
    config = demo.get_config()
    assert turn(config, "no_pda").loss.alpha == 0.0
    assert turn(config, "adapt.sampling=reliable").adapt.sampling == "reliable"
    assert turn(config, "loss.alpha=0.5").loss.alpha == 0.5
    assert turn(config, "loss.alpha=2").loss.alpha == 2.0
    assert turn(config, "adapt.num_clusters=64").adapt.num_clusters == 64
    assert turn(config, "augment.per_modality=False").augment.per_modality is False
    assert turn(config, "model.modalities=('R', 'T')").model.modalities == ("R", "T")


def test_a_row_leaves_the_experiment_as_it_was():
    config = demo.get_config()
    turn(config, "no_pda")
    turn(config, "adapt.sampling=reliable")
    assert config.to_json() == demo.get_config().to_json()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("no_cap", "variant 'no_cap' is none of"),
        ("loss.alfa=0.5", "there is no key loss.alfa"),
        ("adapt.num_clusters=many", "'many' is no value of adapt.num_clusters, which is of type int"),
        ("adapt.epochs=0.5", "'0.5' is no value of adapt.epochs"),
    ],
)
def test_a_row_that_does_not_exist_is_refused_by_name(row, message):
    with pytest.raises(ValueError, match=message):
        turn(demo.get_config(), row)
