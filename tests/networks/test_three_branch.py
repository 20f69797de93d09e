import jax
import numpy as np
import pytest

from man_jax.networks.resnet import ResNet
from man_jax.networks.three_branch import (
    Application,
    Branch,
    Features,
    Outputs,
    ThreeBranch,
    backbone_of,
    with_backbone,
)
from man_jax.sharding import batch_sharding, make_mesh, replicated
from tests.oracles.geometry import unit, unit_rows
from tests.oracles.precision import SINGLE, assert_close, evaluate

B, M, CLASSES = 4, 3, 5
HEIGHT, WIDTH = 16, 8
R, N, T, F = range(4)
BACKBONE = ResNet(stage_sizes=(1,), width=2)
D = BACKBONE.dim


def model(application: Application = "vmap") -> ThreeBranch:
    return ThreeBranch(Branch(BACKBONE), num_classes=CLASSES, application=application)


@pytest.fixture(scope="module")
def drawn():
    """Variables as `init` shapes them but drawn, so that no branch, neck or head is like another; images."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda key: model().init(key, (HEIGHT, WIDTH)), jax.random.key(0))
    variables = jax.tree.map(lambda leaf: rng.uniform(0.5, 1.5, leaf.shape) - (leaf.ndim > 2), shapes)
    return variables, rng.normal(size=(B, M, HEIGHT, WIDTH, 3))


def _run(variables, images, *, application="vmap", train=True) -> tuple[Outputs, dict]:
    return model(application)(variables, images, train=train)


def _new_variables(*, seed: int):
    return model().init(jax.random.key(seed), (HEIGHT, WIDTH))


def _value_slope_statistics(params, batch_stats, images, *, application):
    def loss(params):
        variables = {"params": params, "batch_stats": batch_stats}
        outputs, updated = _run(variables, images, application=application)
        return 0.5 * (outputs.logits**2).sum() + 0.5 * (outputs.features.pooled**2).sum(), updated

    return jax.value_and_grad(loss, has_aux=True)(params)


@pytest.fixture(scope="module")
def outputs(drawn) -> Outputs:
    return evaluate(_run, *drawn)[0]


@pytest.fixture(scope="module")
def applications(drawn):
    variables, images = drawn
    arrays = (variables["params"], variables["batch_stats"], images)
    names = ("vmap", "loop", "scan")
    return {name: evaluate(_value_slope_statistics, *arrays, application=name) for name in names}


@pytest.mark.parametrize("application", ["vmap", "scan"])
@pytest.mark.parametrize("part", [("value", 0, 0), ("statistics", 0, 1), ("gradient", 1)], ids=lambda p: p[0])
def test_branches_applied_together_are_the_branches_one_by_one(applications, application, part):
    def of(result):
        for index in part[1:]:
            result = result[index]
        return result

    jax.tree.map(assert_close, of(applications[application]), of(applications["loop"]))


@pytest.mark.parametrize("modality", [R, N, T])
def test_a_branch_sees_its_own_modality_only(drawn, outputs, modality):
    variables, images = drawn
    other = images.copy()
    other[:, modality] += np.random.default_rng(1).normal(size=other[:, modality].shape)
    after = evaluate(_run, variables, other)[0]
    changed = [not np.array_equal(after.features.pooled[m], outputs.features.pooled[m]) for m in range(M)]
    assert changed == [m == modality for m in range(M)]


def test_every_branch_has_weights_of_its_own():
    branches = jax.eval_shape(lambda key: model().init(key, (HEIGHT, WIDTH)), jax.random.key(0))["params"]
    assert {leaf.shape[0] for leaf in jax.tree.leaves(branches["branches"])} == {M}


def test_branches_start_from_different_weights():
    stem = evaluate(_new_variables, seed=0)["params"]["branches"]["backbone"]["conv1"]["kernel"]
    assert not np.array_equal(stem[R], stem[N])
    assert not np.array_equal(stem[N], stem[T])


def test_the_neck_has_a_scale_and_no_bias(drawn):
    assert set(drawn[0]["params"]["branches"]["neck"]) == {"scale"}


def test_heads_are_linear_without_bias(drawn):
    heads = drawn[0]["params"]["heads"]
    assert {name: set(head) for name, head in heads.items()} == {"modal": {"kernel"}, "fused": {"kernel"}}
    assert heads["modal"]["kernel"].shape == (M, D, CLASSES)
    assert heads["fused"]["kernel"].shape == (M * D, CLASSES)


def test_logits_come_in_the_order_r_n_t_f(drawn, outputs):
    heads = drawn[0]["params"]["heads"]
    normed = outputs.features.normed
    for m in (R, N, T):
        assert_close(outputs.logits[m], normed[m] @ heads["modal"]["kernel"][m])
    fused = np.concatenate([normed[R], normed[N], normed[T]], axis=1)
    assert_close(outputs.fused_normed, fused)
    assert_close(outputs.logits[F], fused @ heads["fused"]["kernel"])


def test_the_neck_normalises_over_the_batch(drawn, outputs):
    pooled, scale = outputs.features.pooled, drawn[0]["params"]["branches"]["neck"]["scale"]
    for m in range(M):
        spread = np.sqrt(pooled[m].var(axis=0) + 1e-5)
        assert_close(outputs.features.normed[m], (pooled[m] - pooled[m].mean(axis=0)) / spread * scale[m])


def test_evaluation_changes_no_statistics(drawn):
    variables, images = drawn
    _, after = evaluate(_run, variables, images, train=False)
    jax.tree.map(np.testing.assert_array_equal, after, variables["batch_stats"])


def test_evaluation_of_a_triple_does_not_depend_on_its_batch(drawn):
    variables, images = drawn
    other = images.copy()
    other[1:] = 0
    together, alone = (evaluate(_run, variables, x, train=False)[0] for x in (images, other))
    assert_close(alone.features.normed[:, 0], together.features.normed[:, 0])


# --- fewer modalities, and a neck for the fusion


@pytest.mark.parametrize("modalities", [(R,), (R, T), (N, T)], ids=str)
def test_fewer_modalities_are_the_branches_of_those_alone(drawn, outputs, modalities):
    variables, images = drawn
    kept = list(modalities)
    branches = {
        name: jax.tree.map(lambda leaf: leaf[kept], variables[name]["branches"]) for name in variables
    }
    rows = np.concatenate([np.arange(m * D, (m + 1) * D) for m in kept])
    heads = variables["params"]["heads"]
    smaller = {
        "modal": {"kernel": heads["modal"]["kernel"][kept]},
        "fused": {"kernel": heads["fused"]["kernel"][rows]},
    }

    def run(branches, heads, images):
        params = {"branches": branches["params"], "heads": heads}
        statistics = {"branches": branches["batch_stats"]}
        network = ThreeBranch(
            Branch(BACKBONE), num_classes=CLASSES, num_modalities=len(kept), application="vmap"
        )
        return network({"params": params, "batch_stats": statistics}, images, train=True)[0]

    fewer = evaluate(run, branches, smaller, images[:, kept])
    assert_close(fewer.features.normed, outputs.features.normed[kept])
    assert_close(fewer.logits[:-1], outputs.logits[kept])
    fused = np.concatenate(list(outputs.features.normed[kept]), axis=1)
    assert_close(fewer.logits[-1], fused @ smaller["fused"]["kernel"])


@pytest.mark.parametrize("train", [True, False])
def test_a_fusion_neck_of_its_own_normalises_the_fusion_of_what_is_before_the_necks(drawn, train):
    variables, images = drawn
    rng = np.random.default_rng(3)
    scale, mean, var = rng.uniform(0.5, 1.5, (3, M * D))
    params = {**variables["params"], "fusion_neck": {"scale": scale}}
    statistics = {**variables["batch_stats"], "fusion_neck": {"mean": mean, "var": var}}

    def run(params, statistics, images):
        network = ThreeBranch(Branch(BACKBONE), num_classes=CLASSES, application="vmap", fusion_neck="own")
        return network({"params": params, "batch_stats": statistics}, images, train=train)

    outputs, after = evaluate(run, params, statistics, images)
    pooled = np.concatenate(list(outputs.features.pooled), axis=1)
    centre, spread = (pooled.mean(axis=0), pooled.var(axis=0)) if train else (mean, var)
    fused = (pooled - centre) / np.sqrt(spread + 1e-5) * scale
    assert_close(outputs.fused_normed, fused)
    assert_close(outputs.logits[F], fused @ params["heads"]["fused"]["kernel"])
    moved = 0.9 * mean + 0.1 * pooled.mean(axis=0) if train else mean
    assert_close(after["fusion_neck"]["mean"], moved)


def test_a_new_fusion_neck_has_a_scale_and_no_bias():
    network = ThreeBranch(Branch(BACKBONE), num_classes=CLASSES, fusion_neck="own")
    variables = jax.eval_shape(lambda key: network.init(key, (HEIGHT, WIDTH)), jax.random.key(0))
    assert set(variables["params"]["fusion_neck"]) == {"scale"}
    assert set(variables["batch_stats"]["fusion_neck"]) == {"mean", "var"}


# --- a backbone from elsewhere, and one for elsewhere


@pytest.mark.parametrize("modality", [R, N, T])
def test_the_backbone_of_a_modality_is_its_own(drawn, modality):
    variables, _ = drawn
    kernel = backbone_of(variables, modality)["params"]["conv1"]["kernel"]
    np.testing.assert_array_equal(
        kernel, variables["params"]["branches"]["backbone"]["conv1"]["kernel"][modality]
    )


def test_a_backbone_goes_to_every_branch_and_changes_nothing_else(drawn):
    variables = jax.tree.map(lambda leaf: leaf.astype("f4"), drawn[0])
    placed = with_backbone(variables, backbone_of(variables, T))
    for modality in (R, N, T):
        jax.tree.map(np.testing.assert_array_equal, backbone_of(placed, modality), backbone_of(variables, T))
    for name in ("params", "batch_stats"):
        necks = [tree[name]["branches"]["neck"] for tree in (placed, variables)]
        jax.tree.map(np.testing.assert_array_equal, *necks)
    assert placed["params"]["heads"] is variables["params"]["heads"]


# --- what features are


@pytest.fixture
def features() -> Features:
    rng = np.random.default_rng(2)
    return Features(*rng.normal(size=(2, M, B, D)).astype(np.float32))


@pytest.mark.parametrize("kind", ["pooled", "normed"])
def test_the_fusion_is_the_concatenation_r_n_t_of_each_triple(features, kind):
    fused = getattr(features, f"fused_{kind}")
    rows = getattr(features, kind)
    for b in range(B):
        np.testing.assert_array_equal(fused[b], np.concatenate([rows[m][b] for m in (R, N, T)]))


def test_unit_features_are_of_norm_1(features):
    np.testing.assert_allclose(np.linalg.norm(features.modal_unit, axis=-1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(features.fused_unit, axis=-1), 1.0, rtol=1e-6)


def test_unit_features_point_where_the_normed_ones_do(features):
    expected = unit_rows(features.normed)
    assert_close(features.modal_unit, expected, SINGLE)
    for b in range(B):
        assert_close(features.fused_unit[b], unit(np.concatenate(expected[:, b])), SINGLE)


# --- parts of a batch with statistics of their own


CALLS = {
    "features": lambda network, variables, images: network.features(variables, images, train=True),
    "maps": lambda network, variables, images: network.maps(variables, images, train=True),
    "stripes": lambda network, variables, images: _in_one(
        network.features_and_stripes(variables, images, train=True, num_parts=2)
    ),
    "from a stage": lambda network, variables, images: network.features_from(
        variables, network.maps(variables, images, train=False)[0][0], stage=0, train=True
    ),
}
BATCH_AXIS = {"features": (1, 1), "maps": (1, 1), "stripes": (1, 1, 2), "from a stage": (1, 1)}
"""The axis of the triples in each result."""


def _in_one(found):
    features, stripes, statistics = found
    return (*features, stripes), statistics


def _grouped(variables, images, *, call, application):
    network = ThreeBranch(Branch(BACKBONE), num_classes=CLASSES, application=application, norm_groups=2)
    return CALLS[call](network, variables, images)


def _alone(variables, images, *, call):
    return CALLS[call](model("loop"), variables, images)


@pytest.mark.parametrize("application", ["vmap", "loop", "scan"])
@pytest.mark.parametrize("call", CALLS)
def test_parts_of_a_batch_are_normalised_as_if_each_were_alone(drawn, call, application):
    variables, images = drawn
    results, statistics = evaluate(_grouped, variables, images, call=call, application=application)
    halves = [evaluate(_alone, variables, part, call=call) for part in (images[: B // 2], images[B // 2 :])]
    for result, axis, *parts in zip(results, BATCH_AXIS[call], *(found for found, _ in halves), strict=True):
        assert_close(result, np.concatenate(parts, axis=axis))
    jax.tree.map(
        lambda mean, *of: assert_close(mean, np.mean(of, axis=0)), statistics, *(of for _, of in halves)
    )


def test_parts_are_no_parts_when_the_network_is_tested(drawn):
    variables, images = drawn
    grouped = ThreeBranch(Branch(BACKBONE), num_classes=CLASSES, norm_groups=2)
    one, other = grouped(variables, images, train=False), model("loop")(variables, images, train=False)
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize(("num_groups", "exchanges"), [(8, False), (1, True)])
def test_parts_on_devices_of_their_own_exchange_nothing_forward(num_groups, exchanges):
    mesh = make_mesh()
    network = ThreeBranch(Branch(BACKBONE), num_classes=CLASSES, norm_groups=num_groups)
    images = jax.ShapeDtypeStruct((16, M, HEIGHT, WIDTH, 3), np.float32, sharding=batch_sharding(mesh))
    shapes = jax.eval_shape(lambda key: network.init(key, (HEIGHT, WIDTH)), jax.random.key(0))
    variables = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated(mesh)), shapes
    )
    pooled = jax.jit(lambda variables, images: network.features(variables, images, train=True)[0].pooled)
    program = pooled.lower(variables, images).compile().as_text()
    assert len(jax.devices()) == 8
    assert ("all-reduce" in program) == exchanges
