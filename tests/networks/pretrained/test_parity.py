"""The measuring script measures: here narrow networks, and one that is wrong on purpose."""

import pytest
import torch

from benchmarks.network_parity import compare, resnet, table, transformer
from tests.networks.pretrained import libraries
from tests.oracles.precision import DOUBLE

NARROW = {"width": 24, "depth": 1, "heads": 3}
MEMBERS = (
    resnet("ResNet", libraries.torchvision, "basic", 1, 1, width=4),
    transformer("CLIP", libraries.timm_clip, "clip", **NARROW, projection=8),
    transformer("ViT", libraries.huggingface_vit, "vit", **NARROW),
)


def test_pytorch_computes_without_the_kernels_that_damage_the_heap():
    assert not torch.backends.mkldnn.enabled


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_errors_are_those_of_rounding(member):
    assert 0 < max(compare(member, (64, 32), DOUBLE)[:2]) < 1e-9


def test_another_network_has_errors_that_are_none_of_rounding():
    member = MEMBERS[2]._replace(ours=MEMBERS[2].ours.copy(activation="quick_gelu"))
    assert min(compare(member, (32, 32), DOUBLE)[:2]) > 1e-5


def test_a_line_of_the_table_has_the_errors_of_both_precisions():
    *_, line = table(MEMBERS[:1], ((64, 32),))
    name, size, *numbers = line.strip("| ").split(" | ")
    assert (name, size, len(numbers)) == ("ResNet", "64×32", 5)
    features, features_double, gradients, gradients_double, own = map(float, numbers)
    assert min(features, gradients, own) > 1e3 * max(features_double, gradients_double)
