"""What a new state starts from when config.model.pretrained names a file."""

import jax
import numpy as np
import pytest
import torch

from man_jax.config import ConfigError
from man_jax.configs import default
from man_jax.engine.build import build_frame
from man_jax.engine.initial_weights import place_backbone, read_backbone
from man_jax.engine.optimizer import make_optimizer
from man_jax.engine.state import create_state
from man_jax.frame import TRAINED, ByDomain, LabelSpace, TrainState
from man_jax.networks.three_branch import backbone_of
from man_jax.runs.checkpoint import has_checkpoint, open_checkpoints, save_state
from tests.engine.tiny import QUICKLY
from tests.oracles.torch_networks import Bottleneck, TimmViT, TorchvisionResNet, stir

STAGES, WIDTH, M = (1, 1), 4, 3
IMAGE_SIZE = (32, 32)
OPTIMIZER = make_optimizer("adam", lambda _: 0.1, weight_decay=0.0)


def model_config(**changes):
    config = default.get_config()
    config.model.update(stage_sizes=STAGES, width=WIDTH, **changes)
    return config.model


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A small ResNet of torchvision's, as a file of torch.save."""
    path = tmp_path_factory.mktemp("weights") / "resnet.pth"
    torch.save(stir(TorchvisionResNet(Bottleneck, STAGES, width=WIDTH)).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def drawn() -> TrainState:
    config = default.get_config()
    config.model.update(stage_sizes=STAGES, width=WIDTH)
    config.data.image_size = IMAGE_SIZE
    frame = build_frame(config, LabelSpace(num_source=3, capacity=2), ByDomain(8, 8))
    return jax.jit(lambda: create_state(frame, OPTIMIZER), compiler_options=QUICKLY)()


@pytest.fixture(scope="module")
def backbone(file):
    return read_backbone(model_config(pretrained=str(file)), IMAGE_SIZE)


@pytest.fixture(scope="module")
def placed(drawn, backbone) -> TrainState:
    return place_backbone(drawn, backbone)


def test_without_a_file_nothing_is_read():
    assert read_backbone(model_config(), IMAGE_SIZE) is None


@pytest.mark.parametrize("domain", ["source", "target"])
@pytest.mark.parametrize("modality", range(M))
def test_every_branch_starts_from_the_file_in_both_domains(placed, backbone, domain, modality):
    found = backbone_of(TRAINED.variables(placed, domain), modality)
    jax.tree.map(np.testing.assert_array_equal, found, backbone.variables)


def test_necks_heads_and_moments_stay_as_drawn(placed, drawn):
    for part in (
        lambda state: state.params["branches"]["neck"],
        lambda state: state.params["heads"],
        lambda state: state.opt_state,
        lambda state: state.statistics.target["branches"]["neck"],
    ):
        jax.tree.map(np.testing.assert_array_equal, part(placed), part(drawn))


def test_the_state_keeps_its_structure(placed, drawn):
    kinds = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state) for state in (placed, drawn)]
    assert kinds[0] == kinds[1]


def test_the_description_names_the_file_its_digest_and_what_was_not_used(backbone, file):
    assert f"every branch starts from {file} (sha256 " in backbone.description
    assert "names of torchvision or timm" in backbone.description
    assert "fc.bias, fc.weight" in backbone.description


def test_a_vit_s_positions_are_resampled_to_our_images(tmp_path):
    torch.save(stir(TimmViT(dim=8, depth=1, heads=2)).state_dict(), tmp_path / "vit.pth")
    config = model_config(backbone="vit", pretrained=str(tmp_path / "vit.pth"))
    config.vit.update(width=8, depth=1, heads=2, stride=12)
    variables = read_backbone(config, (256, 128)).variables
    assert variables["params"]["position"].shape == (1 + 21 * 10, 8)


def test_a_file_that_is_missing_is_an_error_of_the_key(tmp_path):
    with pytest.raises(ConfigError, match=r"^config\.model\.pretrained: .*none\.pth does not exist"):
        read_backbone(model_config(pretrained=str(tmp_path / "none.pth")), IMAGE_SIZE)


def test_a_name_of_the_hub_is_an_error_of_the_key():
    with pytest.raises(ConfigError, match=r"^config\.model\.pretrained: hf:timm/x is not of the form"):
        read_backbone(model_config(pretrained="hf:timm/x"), IMAGE_SIZE)


def test_a_file_of_another_network_is_an_error_of_the_key_with_the_file_named(file):
    with pytest.raises(ConfigError, match=rf"^config\.model\.pretrained: {file}: it is not the network of"):
        read_backbone(model_config(pretrained=str(file), block="basic"), IMAGE_SIZE)


def test_a_work_directory_has_a_checkpoint_once_one_is_saved(tmp_path, drawn):
    assert not has_checkpoint(tmp_path)
    (tmp_path / "checkpoints" / "3.orbax-checkpoint-tmp").mkdir(parents=True)
    assert not has_checkpoint(tmp_path)
    with open_checkpoints(tmp_path) as checkpoints:
        save_state(checkpoints, drawn)
    assert has_checkpoint(tmp_path)
