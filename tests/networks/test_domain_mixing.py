"""The module that mixes the maps of two domains, and its use between two halves of a network."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax.networks.domain_mixing import mix_maps, mixing_shares, new_mixing
from man_jax.networks.domain_norms import norms_of, with_norms
from man_jax.networks.domain_streams import STREAMS, pass_streams
from man_jax.networks.resnet import ResNet
from man_jax.networks.three_branch import Branch, ThreeBranch
from tests.engine.tiny import ALIKE
from tests.oracles import bridge as oracle
from tests.oracles.geometry import central_differences
from tests.oracles.precision import SINGLE, assert_close, assert_slope, both_precisions, evaluate, gradient

M, B, C = 2, 4, 2
IMAGE = (16, 8)
MODEL = ThreeBranch(
    Branch(ResNet(stage_sizes=(1, 1), width=2, block="basic", form="taps")),
    num_classes=5,
    num_modalities=M,
    application="vmap",
    fusion_neck="own",
)


# What takes time is compiling, and the networks are tiny.
_jit = partial(jax.jit, compiler_options=ALIKE)


def layers(channels: int) -> dict:
    found = new_mixing(jax.random.key(0), channels=channels)
    return jax.tree.map(lambda leaf: 2 * np.asarray(leaf, np.float64), found)


def maps(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(M, B, 3, 2, C))


# --- the module


@both_precisions
def test_shares_follow_from_means_and_largest_values_of_both_domains_maps(precision):
    found = evaluate(mixing_shares, layers(M * C), maps(0), maps(1), precision=precision)
    assert_close(found, oracle.mixing_shares(layers(M * C), maps(0), maps(1)), precision)
    assert_close(found.sum(axis=1), np.ones(B), precision)
    assert np.ptp(found) > 0.05


@both_precisions
def test_maps_are_mixed_in_the_shares_of_their_pair(precision):
    shares = oracle.mixing_shares(layers(M * C), maps(0), maps(1))
    found = evaluate(mix_maps, maps(0), maps(1), shares, precision=precision)
    assert_close(found, oracle.mix_maps(maps(0), maps(1), shares), precision)


def first_share(layers, source, target):
    return mixing_shares(layers, source, target)[:, 0]


@pytest.mark.parametrize("name", ["fc1", "fc2", "fc3"])
def test_the_shares_have_the_slope_of_their_formula(name):
    given = layers(M * C)

    def value(kernel):
        changed = {**given, name: {**given[name], "kernel": kernel}}
        return oracle.mixing_shares(changed, maps(0), maps(1))[:, 0].sum()

    found = gradient(first_share, given, maps(0), maps(1))
    assert_slope(found[name]["kernel"], central_differences(value, given[name]["kernel"]))


def test_no_slope_goes_through_the_shares_to_the_maps():
    for by in (1, 2):
        found = gradient(first_share, layers(M * C), maps(0), maps(1), by=by)
        np.testing.assert_array_equal(found, np.zeros(found.shape))


def test_mixed_maps_have_a_slope_by_maps_and_shares():
    shares = np.random.default_rng(2).uniform(size=(B, 2))

    def total(source, target, shares):
        return jnp.sum(mix_maps(source, target, shares) ** 2)

    def value(x, by):
        given = [maps(0), maps(1), shares]
        given[by] = x
        return float((oracle.mix_maps(*given) ** 2).sum())

    for by, at in ((0, maps(0)), (2, shares)):
        found = gradient(total, maps(0), maps(1), shares, by=by)
        assert_slope(found, central_differences(partial(value, by=by), at))


@pytest.mark.parametrize("channels", [1, 7, 64])
def test_new_layers_are_drawn_as_pytorch_draws_them(channels):
    found = new_mixing(jax.random.key(1), channels=channels)
    shapes = [found[name]["kernel"].shape for name in ("fc1", "fc2", "fc3")]
    half = max(1, channels // 2)
    assert shapes == [(2 * channels, channels), (channels, half), (half, 2)]
    for layer in found.values():
        bound = layer["kernel"].shape[0] ** -0.5
        values = np.concatenate([np.ravel(layer["kernel"]), np.ravel(layer["bias"])])
        assert abs(values).max() <= bound
        if channels == 64:
            assert values.std() == pytest.approx(bound / np.sqrt(3), rel=0.1)


# --- norms of each domain


@pytest.fixture(scope="module")
def drawn():
    """Variables in which no norm is without effect, and images of both domains."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda key: MODEL.init(key, IMAGE), jax.random.key(0))
    variables = jax.tree.map(
        lambda leaf: (rng.uniform(0.5, 1.5, leaf.shape) - (leaf.ndim > 2)).astype("f4"), shapes
    )
    images = tuple(rng.normal(size=(2, B, M, *IMAGE, 3)).astype("f4"))
    return variables, images


def shapes_of(tree) -> dict[str, tuple[int, ...]]:
    return {
        jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def test_norms_are_all_scales_and_biases_beside_a_running_statistic(drawn):
    variables, _ = drawn
    found = shapes_of(norms_of(variables["params"], variables["batch_stats"]))
    every = shapes_of(variables["params"])
    assert found == {name: shape for name, shape in every.items() if not name.endswith("['kernel']")}
    assert "['branches']['neck']['scale']" in found
    assert "['fusion_neck']['scale']" in found


def test_other_norms_take_the_place_of_a_network_s_own_and_the_rest_stays(drawn):
    variables, _ = drawn
    params = variables["params"]
    norms = jax.tree.map(lambda leaf: leaf + 1, norms_of(params, variables["batch_stats"]))
    found = with_norms(params, norms)
    assert shapes_of(found) == shapes_of(params)
    assert norms_of(found, variables["batch_stats"])["fusion_neck"]["scale"] is norms["fusion_neck"]["scale"]
    kept = jax.tree_util.tree_leaves_with_path(params)
    for (path, old), new in zip(kept, jax.tree.leaves(found), strict=True):
        is_norm = not jax.tree_util.keystr(path).endswith("['kernel']")
        np.testing.assert_array_equal(new, old + 1 if is_norm else old)


# --- three streams through one network


@partial(_jit, static_argnames=("stage", "shared"))
def streams(params, statistics, images, *, stage, shared=False):
    return pass_streams(MODEL, params, statistics, images, stage=stage, shared=shared)


@pytest.fixture(scope="module")
def begun(drawn):
    """Parameters with other norms in each stream, and the statistics of each."""
    variables, images = drawn
    params, statistics = variables["params"], variables["batch_stats"]
    norms = norms_of(params, statistics)
    maps, _ = jax.eval_shape(lambda v, x: MODEL.maps(v, x, train=False, last=1), variables, images[0])
    return {
        "network": params,
        "norms": {
            name: jax.tree.map(lambda leaf, by=by: leaf * by, norms)
            for name, by in (("source", 1.5), ("mixed", 0.5))
        },
        "mixing": new_mixing(jax.random.key(3), channels=M * maps[-1].shape[-1]),
    }, dict.fromkeys(STREAMS, statistics)


@pytest.fixture(scope="module")
def passed(drawn, begun):
    return streams(*begun, drawn[1], stage=1)


def test_source_and_target_pass_as_they_would_alone_each_with_its_norms(drawn, begun, passed):
    outputs, _, running = passed
    params, statistics = begun
    networks = {
        "source": with_norms(params["network"], params["norms"]["source"]),
        "target": params["network"],
    }
    for (name, network), images in zip(networks.items(), drawn[1], strict=True):
        variables = {"params": network, "batch_stats": statistics[name]}
        whole, moved = _jit(lambda v, x: MODEL(v, x, train=True))(variables, images)
        jax.tree.map(partial(assert_close, precision=SINGLE), outputs[name], whole)
        jax.tree.map(partial(assert_close, precision=SINGLE), running[name], moved)


def test_mixtures_pass_through_the_later_stages_with_norms_of_their_own(drawn, begun, passed):
    outputs, shares, running = passed
    params, statistics = begun
    maps_of = _jit(lambda variables, images: MODEL.maps(variables, images, train=True, last=1)[0][-1])
    source, target = (
        maps_of({"params": network, "batch_stats": statistics[name]}, images)
        for name, network, images in (
            ("source", with_norms(params["network"], params["norms"]["source"]), drawn[1][0]),
            ("target", params["network"], drawn[1][1]),
        )
    )
    assert_close(
        shares, oracle.mixing_shares(params["mixing"], np.asarray(source), np.asarray(target)), SINGLE
    )
    mixed = oracle.mix_maps(np.asarray(source), np.asarray(target), np.asarray(shares)).astype("f4")
    network = with_norms(params["network"], params["norms"]["mixed"])
    features_of = _jit(lambda variables, maps: MODEL.features_from(variables, maps, stage=1, train=True)[0])
    features = features_of({"params": network, "batch_stats": statistics["mixed"]}, mixed)
    np.testing.assert_allclose(outputs["mixed"].features.pooled, features.pooled, rtol=1e-4, atol=1e-4)
    backbone = running["mixed"]["branches"]["backbone"], statistics["mixed"]["branches"]["backbone"]
    moved = {
        name
        for name in backbone[0]
        if any(map(np.any, jax.tree.leaves(jax.tree.map(np.not_equal, *(each[name] for each in backbone)))))
    }
    assert moved == {"layer2"}


def test_with_shared_statistics_the_streams_move_one_average_in_turn(drawn, begun):
    _, _, running = streams(*begun, drawn[1], stage=1, shared=True)
    first = jax.tree.leaves(running["source"])
    for name in STREAMS:
        jax.tree.map(np.testing.assert_array_equal, jax.tree.leaves(running[name]), first)
    assert any(map(np.any, jax.tree.map(np.not_equal, first, jax.tree.leaves(begun[1]["source"]))))
