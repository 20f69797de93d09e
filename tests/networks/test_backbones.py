import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from man_jax.config import CHOICES, flat
from man_jax.configs import default
from man_jax.engine.build import build_backbone as build_configured
from man_jax.networks.backbone_traits import AUTO_ACTIVATION, TRAITS
from man_jax.networks.backbones import BACKBONES, build_backbone
from man_jax.networks.msinet import MSINet
from man_jax.networks.msinet_keys import PUBLISHED

IMAGE = (16, 8)
SMALL: dict[str, dict[str, Any]] = {
    "resnet": {
        "stage_sizes": (1,),
        "width": 2,
        "last_stride": 1,
        "block": "basic",
        "convolution": "taps",
        "stem_relu": True,
    },
    **{
        name: {
            **{"patch": 4, "stride": 4, "width": 8, "depth": 1, "heads": 2, "projection": 0},
            "activation": "auto",
        }
        for name in ("vit", "clip")
    },
    "msinet": {
        "widths": (2, 8),
        "interactions": ("ag", "exc", "cross_att", "none"),
        "half_channels": 0,
        "convolution": "taps",
    },
}


def test_the_backbones_of_the_configuration_are_those_that_can_be_built():
    assert CHOICES["model.backbone"] == tuple(TRAITS) == tuple(BACKBONES)


def test_the_configuration_knows_the_backbones_without_jax():
    code = "import man_jax.config, sys; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_backbone_is_refused_with_those_there_are():
    with pytest.raises(
        ValueError, match=r"config\.model\.backbone is 'swin'; choose one of resnet, vit, clip, msinet"
    ):
        build_backbone("swin")
    config = default.get_config()
    config.model.backbone = "swin"
    with pytest.raises(
        ValueError, match=r"config\.model\.backbone is 'swin'; choose one of resnet, vit, clip, msinet"
    ):
        build_configured(config.model)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_is_built_of_its_keys(name):
    assert {key.split(".")[-1] for key in TRAITS[name].keys} == SMALL[name].keys()
    assert set(TRAITS[name].keys) <= flat(default.get_config()).keys()
    assert build_backbone(name, **SMALL[name]).dim > 0


def test_every_key_of_the_model_that_is_a_transformer_s_is_listed():
    keys = {key for key in flat(default.get_config()) if key.startswith("model.vit.")}
    assert keys == set(TRAITS["vit"].keys) == set(TRAITS["clip"].keys)


def test_every_key_of_the_model_that_is_an_msinet_s_is_listed():
    keys = {key for key in flat(default.get_config()) if key.startswith("model.msinet.")}
    assert keys == set(TRAITS["msinet"].keys) - {"model.convolution"}


def test_the_msinet_of_the_configuration_is_the_published_one():
    config = default.get_config()
    config.model.backbone = "msinet"
    network = build_configured(config.model)
    assert isinstance(network, MSINet)
    assert (network.widths, network.interactions, network.dim) == ((64, 256, 384, 512), PUBLISHED, 512)
    config.model.update(remat="stage", dtype="bfloat16", convolution="lax")
    config.model.msinet.half_channels = 128
    network = build_configured(config.model)
    assert (network.remat, network.dtype, network.form, network.dim) == ("stage", jnp.bfloat16, "lax", 768)


def _shapes(name: str, method: str | None = None):
    backbone = build_backbone(name, **SMALL[name])
    image = jax.ShapeDtypeStruct((1, *IMAGE, 3), "float32")
    variables = jax.eval_shape(lambda key, x: backbone.init(key, x, train=False), jax.random.key(0), image)
    if method is None:
        return variables
    return jax.eval_shape(lambda v, x: backbone.apply(v, x, train=False, method=method), variables, image)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_has_the_positions_and_the_stages_that_its_traits_tell(name):
    assert ("position" in _shapes(name)["params"]) == TRAITS[name].has_positions
    if TRAITS[name].has_stages:
        assert len(_shapes(name, "maps")) == 2
    else:
        with pytest.raises(ValueError, match="has no stages"):
            _shapes(name, "maps")
    assert (TRAITS[name].architecture == "transformer") == (name in AUTO_ACTIVATION)
