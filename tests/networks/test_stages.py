"""Maps of the stages, and what the rest of the network makes of them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from man_jax.networks.part_features import pool_stripes
from man_jax.networks.resnet import ResNet
from man_jax.networks.three_branch import Branch, ThreeBranch
from man_jax.networks.vit import ViT
from tests.engine.tiny import ALIKE
from tests.oracles.precision import SINGLE, assert_close, evaluate

B, M = 4, 2
IMAGE = (16, 8)
STAGES = (0, 1, 2)


def network(application="vmap", *, remat="none", backbone=None, fusion_neck="shared", dtype=None):
    small = ResNet(stage_sizes=(1, 1), width=2, block="basic", form="taps", remat=remat, dtype=dtype)
    return ThreeBranch(
        Branch(backbone or small),
        num_classes=5,
        num_modalities=M,
        application=application,
        fusion_neck=fusion_neck,
    )


@pytest.fixture(scope="module")
def drawn():
    """Variables in which no two branches are alike and no norm is without effect; images."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda key: network(fusion_neck="own").init(key, IMAGE), jax.random.key(0))
    variables = jax.tree.map(
        lambda leaf: (rng.uniform(0.5, 1.5, leaf.shape) - (leaf.ndim > 2)).astype("f4"), shapes
    )
    return variables, rng.normal(size=(B, M, *IMAGE, 3)).astype("f4")


def _whole(variables, images, *, train=True, **kind):
    return network(**kind).features(variables, images, train=train)


def _split(variables, images, *, stage, train=True, between=lambda maps: maps, **kind):
    """The features by way of the maps of a stage, with all that moved between."""
    model = network(**kind)
    maps, first = model.maps(variables, images, train=train, last=stage)
    assert len(maps) == stage + 1
    variables = {**variables, "batch_stats": {**variables["batch_stats"], **first}}
    return model.features_from(variables, between(maps[stage]), stage=stage, train=train)


# What takes time is compiling, and the networks are tiny.
_jit = partial(jax.jit, compiler_options=ALIKE)


@partial(_jit, static_argnames=("stages", "slope", "application", "remat", "dtype", "train"))
def _results(variables, images, *, stages=(None,), slope=False, **kind):
    """(features, statistics), or the gradient of a sum of the features, from each stage; None: of the whole."""

    def loss(params, run):
        features, _ = run({**variables, "params": params}, images, **kind)
        return (features.pooled**2).sum() + (features.normed**3).sum()

    runs = [_whole if stage is None else partial(_split, stage=stage) for stage in stages]
    if slope:
        return [jax.grad(loss)(variables["params"], run) for run in runs]
    return [run(variables, images, **kind) for run in runs]


def assert_same_bits(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


KINDS = (
    ({"application": "vmap"}, STAGES),
    ({"application": "loop"}, (1,)),
    ({"application": "scan"}, (1,)),
    ({"application": "vmap", "dtype": "bfloat16"}, (1,)),
    ({"application": "vmap", "train": False}, (0,)),
)


@pytest.mark.parametrize(("kind", "stages"), KINDS, ids=str)
def test_features_and_statistics_by_way_of_a_stage_s_maps_are_those_of_the_whole(drawn, kind, stages):
    """Bit for bit."""
    (whole,) = _results(*drawn, **kind)  # a program of its own, which shares nothing with the next one
    assert np.ptp(whole[0].pooled) > 0
    for result in _results(*drawn, stages=stages, **kind):
        assert_same_bits(result, whole)


SLOPES = (
    {"application": "vmap"},
    {"application": "scan"},
    *({"application": "vmap", "remat": remat} for remat in ("block", "stage")),
)


@pytest.mark.parametrize("kind", SLOPES, ids=str)
def test_gradients_through_a_stage_s_maps_are_those_of_the_whole(drawn, kind):
    (whole,) = _results(*drawn, slope=True, **kind)
    (split,) = _results(*drawn, stages=(1,), slope=True, **kind)
    assert max(float(abs(leaf).max()) for leaf in jax.tree.leaves(whole)) > 0
    assert_same_bits(split, whole)


# --- what moves, and what the maps are


@pytest.fixture(scope="module")
def maps(drawn):
    """Maps of all stages, and the statistics, in training."""
    return _jit(lambda v, x: network().maps(v, x, train=True))(*drawn)


def test_there_is_a_map_for_the_stem_and_for_each_stage(maps):
    assert [x.shape for x in maps[0]] == [(M, B, 4, 2, 2), (M, B, 4, 2, 2), (M, B, 4, 2, 4)]


def test_the_last_map_s_mean_is_the_pooled_feature(drawn, maps):
    ((whole, _),) = _results(*drawn)
    assert_close(np.mean(maps[0][-1], axis=(2, 3)), whole.pooled, SINGLE)


def test_the_neck_s_statistics_wait_for_the_features(drawn, maps):
    before = drawn[0]["batch_stats"]["branches"]
    assert_same_bits(maps[1]["branches"]["neck"], before["neck"])


@pytest.mark.parametrize("last", STAGES)
def test_maps_up_to_a_stage_move_the_statistics_of_these_stages_only(drawn, last):
    before = drawn[0]["batch_stats"]["branches"]["backbone"]
    _, after = _jit(lambda v, x: network().maps(v, x, train=True, last=last))(*drawn)
    moved = {
        name
        for name, old in before.items()
        if any(
            not np.array_equal(*leaves)
            for leaves in zip(
                jax.tree.leaves(old), jax.tree.leaves(after["branches"]["backbone"][name]), strict=True
            )
        )
    }
    assert moved == {"bn1", *(f"layer{stage}" for stage in range(1, last + 1))}


def test_mixed_maps_give_other_features(drawn):
    """As IDM mixes after stage 0: a share of each triple's maps with another's."""
    variables, images = drawn

    def mix(maps):
        return 0.75 * maps + 0.25 * jnp.roll(maps, 1, axis=1)

    run = _jit(lambda v, x, between: _split(v, x, stage=0, between=between)[0].pooled, static_argnums=2)
    assert not np.allclose(run(variables, images, mix), run(variables, images, lambda maps: maps), rtol=0.01)


def test_logits_of_features_from_a_stage_are_those_of_the_whole(drawn):
    model = network(fusion_neck="own")

    def run(variables, images):
        features, of_branches = _split(variables, images, stage=1, fusion_neck="own")
        outputs, of_fusion = model.outputs_from(variables, features, train=True)
        return outputs, of_branches | of_fusion

    assert_same_bits(_jit(run)(*drawn), _jit(lambda v, x: model(v, x, train=True))(*drawn))


# --- what is refused


@pytest.mark.parametrize("stage", [-1, 3])
def test_a_stage_that_there_is_not_is_refused_with_those_there_are(drawn, maps, stage):
    message = rf"stage is {stage}, but the resnet has the stages 0 \(the stem\) to 2 .*choose one"
    with pytest.raises(ValueError, match=message):
        network().maps(*drawn, train=True, last=stage)
    with pytest.raises(ValueError, match=message):
        network().features_from(drawn[0], maps[0][0], stage=stage, train=True)


@pytest.mark.parametrize("kind", ["vit", "clip"])
def test_maps_of_a_transformer_are_refused_with_the_remedy(kind):
    model = network(backbone=ViT(kind=kind, patch=4, stride=4, width=8, depth=1, heads=2))
    variables = jax.eval_shape(lambda key: model.init(key, IMAGE), jax.random.key(0))
    images = jax.ShapeDtypeStruct((B, M, *IMAGE, 3), "float32")
    maps = jax.ShapeDtypeStruct((M, B, 4, 2, 8), "float32")
    with pytest.raises(ValueError, match=f"a {kind} has no stages.*config.model.backbone=resnet"):
        jax.eval_shape(lambda v, x: model.maps(v, x, train=False), variables, images)
    with pytest.raises(ValueError, match=f"a {kind} has no stages"):
        jax.eval_shape(lambda v, x: model.features_from(v, x, stage=0, train=False), variables, maps)


# --- parts


def test_two_stripes_are_the_upper_and_the_lower_half():
    maps = np.random.default_rng(1).normal(size=(M, B, 4, 2, 3))
    upper, lower = evaluate(pool_stripes, maps)
    assert_close(upper, maps[:, :, :2].mean(axis=(2, 3)))
    assert_close(lower, maps[:, :, 2:].mean(axis=(2, 3)))


@pytest.mark.parametrize(("height", "num_stripes"), [(8, 1), (8, 6), (16, 6), (7, 3), (3, 3)])
def test_stripes_are_those_of_pytorch_s_adaptive_pooling(height, num_stripes):
    maps = np.random.default_rng(1).normal(size=(B, height, 2, 3))
    theirs = torch.nn.functional.adaptive_avg_pool2d(torch.tensor(np.moveaxis(maps, -1, 1)), (num_stripes, 1))
    assert_close(
        evaluate(pool_stripes, maps, num_stripes=num_stripes), np.moveaxis(theirs[..., 0].numpy(), 2, 0)
    )


@pytest.mark.parametrize("num_stripes", [0, 5])
def test_more_stripes_than_rows_and_none_at_all_are_refused(num_stripes):
    with pytest.raises(
        ValueError, match=f"num_stripes is {num_stripes}, but the maps have 4 rows; .* 1 and 4"
    ):
        pool_stripes(jnp.zeros((B, 4, 2, 3)), num_stripes=num_stripes)


@partial(_jit, static_argnames=("application", "train", "num_parts"))
def _with_stripes(variables, images, *, num_parts, train=True, **kind):
    return network(**kind).features_and_stripes(variables, images, train=train, num_parts=num_parts)


@pytest.mark.parametrize("kind", [{"application": name} for name in ("vmap", "loop", "scan")], ids=str)
def test_features_beside_stripes_are_those_of_the_whole_and_stripes_those_of_the_last_maps(drawn, maps, kind):
    features, stripes, after = _with_stripes(*drawn, num_parts=2, **kind)
    assert_same_bits((features, after), _results(*drawn, **kind)[0])
    assert_close(stripes, np.asarray(pool_stripes(maps[0][-1], num_stripes=2)), SINGLE)


def test_more_parts_than_the_maps_have_rows_are_refused(drawn):
    with pytest.raises(ValueError, match="num_stripes is 5, but the maps have 4 rows"):
        _with_stripes(*drawn, num_parts=5)
