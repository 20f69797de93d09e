"""Weights under the names of ReID code bases: what is found, what is left over, and what is refused. No PyTorch."""

import jax
import numpy as np
import pytest

from man_jax.networks.pretrained.errors import WeightsError
from man_jax.networks.pretrained.matching import MatchedWeights, match_weights, to_library_arrays
from man_jax.networks.resnet import ResNet
from man_jax.networks.vit import ViT

IMAGE_SIZE = (32, 32)
BACKBONE = ResNet(stage_sizes=(1, 2, 1, 1), width=4)
VIT = ViT(width=8, depth=1, heads=2)
D = 128
WITH_RELU = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
WITHOUT_RELU = {"conv1": 0, "bn1": 1, "layer1": 3, "layer2": 4, "layer3": 5, "layer4": 6}

Arrays = dict[str, np.ndarray]


def shapes_of(network):
    image = jax.ShapeDtypeStruct((1, *IMAGE_SIZE, 3), "float32")
    return dict(jax.eval_shape(lambda key, x: network.init(key, x, train=False), jax.random.key(0), image))


LIKE, LIKE_VIT = shapes_of(BACKBONE), shapes_of(VIT)


def drawn(like, *, title: str, family: str) -> Arrays:
    rng = np.random.default_rng(0)
    # Uniform: a variance is not below 0.
    variables = jax.tree.map(lambda leaf: rng.uniform(size=leaf.shape).astype("f4"), like)
    return to_library_arrays(variables, title=title, family=family)


@pytest.fixture
def arrays() -> Arrays:
    """A small ResNet under torchvision's names."""
    return drawn(LIKE, title="torchvision or timm", family="resnet")


@pytest.fixture
def vit() -> Arrays:
    return drawn(LIKE_VIT, title="timm", family="vit")


def behind(prefix: str, arrays: Arrays) -> Arrays:
    return {prefix + name: array for name, array in arrays.items()}


def by_position(arrays: Arrays, places: dict[str, int]) -> Arrays:
    """As an nn.Sequential names the modules that were put into it."""
    parts = {name: name.split(".", 1) for name in arrays}
    return {f"{places[module]}.{rest}": arrays[name] for name, (module, rest) in parts.items()}


def heads(*names: str) -> Arrays:
    """A vector for each bias and statistic, a matrix for each weight of a linear map."""
    return {name: np.ones((10, D) if "classifier.weight" in name else D, "f4") for name in names}


NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
BNNECK = heads(*(f"bottleneck.{leaf}" for leaf in NORM))
MATRIX, KERNEL = np.ones((10, D), "f4"), np.ones((4, D, 1, 1), "f4")

CODE_BASES = {
    "torchreid": ("", heads("classifier.weight", "classifier.bias")),
    "torchreid with a wrapper": ("state_dict.module.", {"state_dict.module.classifier.weight": MATRIX}),
    "strong-baseline": ("base.", heads("classifier.weight") | BNNECK),
    "fast-reid": (
        "model.backbone.",
        {
            "model.heads.weight": MATRIX,
            "model.heads.bottleneck.0.weight": KERNEL,
            "model.heads.bottleneck.1.running_var": np.ones(4, "f4"),
            "model.heads.pool_layer.p": np.ones(1, "f4"),
            "model.pixel_mean": np.ones((1, 3, 1, 1), "f4"),
            "optimizer.state.0.momentum_buffer": np.ones((4, 3, 7, 7), "f4"),
        },
    ),
    "old fast-reid": (
        "backbone.",
        {"heads.bnneck.bias": np.ones(D, "f4"), "heads.classifier.weight": MATRIX},
    ),
    "MMT": ("module.base.", {"module.feat.weight": MATRIX, "module.feat_bn.bias": np.ones(4, "f4")}),
    "several classifiers": (
        "model.base.",
        {"model.classifier_1.weight": MATRIX, "model.bottleneck_1.bias": MATRIX},
    ),
    "a model of encoder and heads": (
        "model.encoder.",
        {"model.global_feat.weight": MATRIX, "epoch": np.ones(())},
    ),
    "LUP": ("state_dict.", {"state_dict.fc.0.weight": MATRIX, "state_dict.fc.2.bias": np.ones(4, "f4")}),
}


@pytest.mark.parametrize("name", CODE_BASES)
def test_a_code_base_s_backbone_is_found_and_its_heads_are_named_as_unused(arrays, name):
    prefix, rest = CODE_BASES[name]
    fitted = match_weights(behind(prefix, arrays) | rest, LIKE, family="resnet")
    assert fitted.prefix == prefix
    assert set(fitted.unused) == set(rest)
    same_variables(fitted, match_weights(arrays, LIKE, family="resnet"))


def same_variables(one: MatchedWeights, other: MatchedWeights) -> None:
    jax.tree.map(np.testing.assert_array_equal, one.variables, other.variables)


@pytest.mark.parametrize("prefix", ["", "base.", "module.base.", "state_dict.module.backbone.0."])
@pytest.mark.parametrize("places", [WITH_RELU, WITHOUT_RELU], ids=["with ReLU", "without ReLU"])
def test_a_sequential_s_modules_are_known_by_their_positions(arrays, prefix, places):
    fitted = match_weights(behind(prefix, by_position(arrays, places)), LIKE, family="resnet")
    assert fitted.prefix == prefix
    same_variables(fitted, match_weights(arrays, LIKE, family="resnet"))


def test_a_sequential_without_the_stem_s_relu_is_told_from_ours(arrays):
    assert match_weights(by_position(arrays, WITH_RELU), LIKE, family="resnet").notes == ()
    (note,) = match_weights(by_position(arrays, WITHOUT_RELU), LIKE, family="resnet").notes
    assert "have no ReLU there" in note


def test_a_whole_network_in_a_sequential_has_its_classifier_left_over(arrays):
    fitted = match_weights(by_position(arrays, WITH_RELU) | {"9.weight": MATRIX}, LIKE, family="resnet")
    assert fitted.unused == ("9.weight",)


def refusal(arrays: Arrays, *, like=LIKE, family="resnet") -> str:
    with pytest.raises(WeightsError) as refused:
        match_weights(arrays, like, family=family, grid=(2, 2) if family == "vit" else None)
    return str(refused.value)


def test_a_sequential_with_another_stage_names_its_arrays_by_their_positions(arrays):
    positions = behind("base.", by_position(arrays, WITH_RELU))
    del positions["base.5.1.bn2.bias"]
    assert "1 missing: base.5.1.bn2.bias" in refusal(positions)
    assert "left over: base.8.0.conv1.weight" in refusal(positions | {"base.8.0.conv1.weight": KERNEL})


MORE_THAN_HEADS = {
    "another stage": {"layer5.0.conv1.weight": KERNEL},
    "a second stem": {"base2.conv1.weight": np.ones((4, 3, 7, 7))},
    "parts": {"local_conv.0.weight": KERNEL},
    "an attention": {"attention.weight": np.ones(3)},
    "a head of wide kernels": {"bottleneck.0.conv2.weight": np.ones((4, 4, 3, 3))},
    "a name that only begins like a head's": {"features.0.weight": np.ones(3)},
}


@pytest.mark.parametrize("prefix", ["", "base."])
@pytest.mark.parametrize("kind", MORE_THAN_HEADS)
def test_what_is_no_known_head_is_refused_by_name(arrays, prefix, kind):
    (name,) = MORE_THAN_HEADS[kind]
    message = refusal(behind(prefix, arrays) | MORE_THAN_HEADS[kind] | BNNECK)
    assert f"1 left over: {name}" in message
    assert "bottleneck.bias" not in message


def test_what_is_beside_the_network_may_be_saved_away_and_the_message_says_so(arrays):
    message = refusal(behind("base.", arrays) | {"branch.conv.weight": KERNEL})
    assert "is there behind 'base.'" in message
    assert "save it without them" in message


RELATIVES = {
    "layer1.0.bn1.IN.weight": "an IBN-Net",
    "layer2.1.IN.bias": "an IBN-Net",
    "layer3.0.se.fc.0.weight": "an SE- or ECA-ResNet",
    "NL_2.0.g.weight": "non-local blocks",
    "layer1.0.ca.fc1.weight": "CBAM",
}


@pytest.mark.parametrize("name", RELATIVES)
@pytest.mark.parametrize("prefix", ["", "backbone.", "module.base."])
def test_a_backbone_with_parts_that_ours_lacks_is_refused_by_its_kind(arrays, prefix, name):
    message = refusal(behind(prefix, arrays | {name: KERNEL}) | BNNECK)
    assert "of a kind that is not built here: " in message
    assert RELATIVES[name] in message
    assert f"({prefix}{name})" in message


def test_a_relative_in_a_sequential_is_known_too(arrays):
    positions = behind("base.", by_position(arrays, WITH_RELU))
    assert "an IBN-Net (base.4.0.bn1.IN.weight)" in refusal(positions | {"base.4.0.bn1.IN.weight": KERNEL})
    assert "a ResNet-C, -D" in refusal(positions | {"base.0.0.weight": KERNEL})
    grouped = positions | {"base.4.0.conv2.weight": np.ones((4, 1, 3, 3))}
    assert "grouped (base.4.0.conv2.weight is [4, 1, 3, 3]): a ResNeXt" in refusal(grouped)


def test_non_local_blocks_beside_the_backbone_are_refused(arrays):
    assert "non-local blocks" in refusal(behind("base.", arrays) | {"NL_1.0.g.weight": KERNEL})


# --- two networks in one file


@pytest.mark.parametrize(
    ("kept", "copy"), [("module.encoder_q.", "module.encoder_k."), ("base_encoder.", "momentum_encoder.")]
)
def test_of_a_network_and_its_running_average_the_network_is_taken(arrays, kept, copy):
    other = {name: array + 1 for name, array in arrays.items()}
    queue = kept.replace(kept.split(".")[-2] + ".", "queue")
    rest = {queue: MATRIX, f"{kept}fc.0.weight": MATRIX, f"{copy}fc.0.weight": MATRIX}
    fitted = match_weights(behind(copy, other) | behind(kept, arrays) | rest, LIKE, family="resnet")
    assert fitted.prefix == kept
    assert set(fitted.unused) == {queue, f"{kept}fc.0.weight"}
    assert fitted.notes == (f"{copy!r} is its running average and is left out",)
    same_variables(fitted, match_weights(arrays, LIKE, family="resnet"))


@pytest.mark.parametrize(
    "prefixes",
    [
        ("model_1.", "model_2."),
        ("state_dict.", "state_dict_ema."),
        ("encoder_q.", "encoder_k.", "encoder_x."),
    ],
)
def test_of_several_networks_none_is_guessed(arrays, prefixes):
    several = {name: array for prefix in prefixes for name, array in behind(prefix, arrays).items()}
    assert f"the network is there {len(prefixes)} times" in refusal(several)


# --- transformers


def test_a_transreid_s_backbone_is_found_and_its_heads_are_left_over(vit):
    rest = heads("classifier.weight", "base.fc.weight", "base.fc.bias") | BNNECK
    fitted = match_weights(behind("base.", vit) | rest, LIKE_VIT, family="vit", grid=(2, 2))
    assert (fitted.title, fitted.prefix, set(fitted.unused)) == ("timm", "base.", set(rest))
    same_variables(fitted, match_weights(vit, LIKE_VIT, family="vit", grid=(2, 2)))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("base.sie_embed", "the camera"), ("b1.0.attn.qkv.weight", "the JPM"), ("cv_embed", "the camera")],
)
def test_a_transreid_with_more_than_a_vit_is_refused_by_its_kind(vit, name, kind):
    message = refusal(behind("base.", vit) | {name: np.ones((3, 1, 8))}, like=LIKE_VIT, family="vit")
    assert kind in message
    assert f"({name})" in message


@pytest.mark.parametrize("name", ["base.part_token1", "base.dist_token", "base.blocks.1.norm1.bias"])
def test_a_part_that_our_vit_lacks_is_left_over(vit, name):
    message = refusal(behind("base.", vit) | {name: np.ones((1, 1, 8))}, like=LIKE_VIT, family="vit")
    assert f"1 left over: {name}" in message


def test_a_clip_reid_s_text_half_is_left_over_and_its_camera_embedding_is_not():
    network = ViT(kind="clip", width=8, depth=1, heads=2)
    like = shapes_of(network)
    theirs = behind("image_encoder.", drawn(like, title="OpenAI", family="clip"))
    rest = {
        "text_encoder.transformer.x": MATRIX,
        "prompt_learner.cls_ctx": MATRIX,
        "classifier_proj.weight": MATRIX,
    }
    assert set(match_weights(theirs | rest, like, family="clip", grid=(2, 2)).unused) == set(rest)
    assert "the camera" in refusal(theirs | rest | {"cv_embed": MATRIX}, like=like, family="clip")


@pytest.mark.parametrize("prefix", ["", "module.", "state_dict.module."])
def test_a_whole_clip_s_text_half_is_left_over_wherever_it_is(prefix):
    like = shapes_of(ViT(kind="clip", width=8, depth=1, heads=2))
    theirs = behind("visual.", drawn(like, title="OpenAI", family="clip"))
    text = (
        "transformer.resblocks.0.ln_1.bias",
        "token_embedding.weight",
        "positional_embedding",
        "logit_scale",
    )
    arrays = behind(
        prefix, theirs | {name: np.ones(8) for name in (*text, "ln_final.bias", "text_projection")}
    )
    assert len(match_weights(arrays, like, family="clip", grid=(2, 2)).unused) == 6
    message = refusal(arrays | {f"{prefix}adapter.weight": MATRIX}, like=like, family="clip")
    assert f"1 left over: {prefix}adapter.weight" in message
