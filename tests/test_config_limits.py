"""All that is wrong with a configuration, told at once."""

import math
import re

import pytest

from man_jax.config import ConfigError, check_config
from tests.test_config import changed


def refused(**changes) -> list[str]:
    with pytest.raises(ConfigError) as told:
        check_config(changed(**changes), num_devices=8)
    return str(told.value).splitlines()


def test_all_limits_that_are_broken_are_told_at_once_one_line_a_key():
    lines = refused(
        seed=-1,
        adapt__labels="nonsense",
        batch__instances=1,
        data__image_size=(32,),
        evaluation__batch_size=20,
        man__alpha=math.inf,
        model__modalities=("T", "R"),
        pretrain__epochs=0,
    )
    keys = [re.search(r"config\.([a-z_.]+[a-z])", line)[1] for line in lines]
    assert keys == [
        "adapt.labels",
        "seed",
        "man.alpha",
        "data.image_size",
        "model.modalities",
        "pretrain.epochs",
        "batch",
        "evaluation.batch_size",
    ]


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"evaluation__batch_size": 0}, ["evaluation.batch_size"]),
        ({"model__backbone": "vit", "model__vit__heads": 0}, ["model.vit.heads"]),
        ({"model__backbone": "vit", "model__vit__patch": 0}, ["model.vit.patch"]),
        ({"model__backbone": "vit", "data__image_size": ()}, ["data.image_size"]),
        ({"model__backbone": "nonsense", "model__vit__heads": 7}, ["model.backbone"]),
        ({"pretrain__epochs": -1}, ["pretrain.epochs"]),
        ({"model__modalities": ("X",), "evaluation__modalities": ("R",)}, ["model.modalities"]),
        ({"augment__mean": ("a", "b", "c")}, ["augment.mean"]),
        ({"augment__erase_area": ("a", 1)}, ["augment.erase_area"]),
        ({"model__stage_sizes": ()}, ["model.stage_sizes"]),
        ({"model__stage_sizes": (3, 0)}, ["model.stage_sizes"]),
        ({"model__stage_sizes": (3, 1.5)}, ["model.stage_sizes"]),
    ],
)
def test_what_is_computed_from_a_broken_key_is_not_told_besides(changes, keys):
    assert [re.search(r"config\.([a-z_.]+[a-z])", line)[1] for line in refused(**changes)] == keys
