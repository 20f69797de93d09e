"""What a method and the engine hand to each other: classes, batches, networks, and the pass of both domains."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax.frame import (
    TRAINED,
    Batch,
    ByDomain,
    LabelSpace,
    Network,
    TrainState,
    part,
    pass_domains,
    pass_domains_with_parts,
    views,
)
from tests.engine.tiny import NUM_TARGET, B, new_batch

SPACE = LabelSpace(num_source=4, capacity=3)


# --- classes


def test_source_identities_come_first_and_clusters_after_them():
    labels = jnp.array([0, 2, 1, -1])
    np.testing.assert_array_equal(SPACE.of("source", labels), [0, 2, 1, -1])
    np.testing.assert_array_equal(SPACE.of("target", labels), [4, 6, 5, -1])


def test_no_class_is_of_both_domains_and_there_is_room_for_all():
    source, target = (SPACE.of(domain, jnp.arange(count)) for domain, count in (("source", 4), ("target", 3)))
    np.testing.assert_array_equal(np.concatenate([source, target]), np.arange(SPACE.num_classes))


@pytest.mark.parametrize(("num_clusters", "there"), [(0, 4), (2, 6), (3, 7)])
def test_identities_and_the_clusters_of_the_epoch_exist(num_clusters, there):
    expected = [number < there for number in range(7)]
    for count in (num_clusters, jnp.int32(num_clusters)):
        np.testing.assert_array_equal(SPACE.exists(count), expected)


def test_more_clusters_than_there_is_room_for_are_refused():
    with pytest.raises(ValueError, match="4 clusters, but there is room for 3; raise the capacity"):
        SPACE.exists(4)


# --- batches


def test_the_label_of_a_batch_is_its_first_labelling_and_what_weighs_nothing_is_not_reliable():
    labels = np.stack([np.arange(B), np.arange(B)[::-1]], axis=1)
    weight = np.array([0.0, 0.2, 1.0, 0.0, 3.0, 1.0, 1.0, 0.0], np.float32)
    batch = new_batch(0, NUM_TARGET).replace(labels=labels, weight=weight)
    np.testing.assert_array_equal(batch.label, np.arange(B))
    np.testing.assert_array_equal(batch.reliable, weight > 0, strict=True)


# --- where a network is


def new_state(**changes) -> TrainState:
    parts = {
        "step": 3,
        "params": {"w": 1},
        "statistics": ByDomain({"mean": 2}, {"mean": 3}),
        "opt_state": (),
        "key": None,
        "slots": SimpleNamespace(teacher={"params": {"w": 4}, "statistics": {"mean": 5}}),
    }
    return TrainState(**(parts | changes))


def test_the_network_that_is_trained_has_running_statistics_of_each_domain():
    state = new_state()
    assert TRAINED.variables(state, "source") == {"params": {"w": 1}, "batch_stats": {"mean": 2}}
    assert TRAINED.variables(state, "target") == {"params": {"w": 1}, "batch_stats": {"mean": 3}}


def test_a_network_may_be_anywhere_in_the_state_or_in_a_saved_tree_of_it():
    statistics = ("slots", "teacher", "statistics")
    teacher = Network(("slots", "teacher", "params"), source=statistics, target=statistics)
    saved = {"slots": {"teacher": {"params": {"w": 4}, "statistics": {"mean": 5}}}}
    for tree in (new_state(), saved):
        assert teacher.variables(tree, "target") == {"params": {"w": 4}, "batch_stats": {"mean": 5}}
    assert part(saved, ()) is saved


# --- both domains through the network


def halved_and_shifted(variables, view, *, train: bool):
    """A network whose output tells which variables it had, and whose statistics follow the images' mean."""
    assert train
    mean = variables["batch_stats"]
    return (variables["params"] * view, mean), 0.5 * mean + 0.5 * view.mean()


IMAGES = ByDomain(jnp.full((2, 1), 10.0), jnp.full((2, 1), 30.0))
BEFORE = ByDomain(jnp.float32(2.0), jnp.float32(4.0))


def passed(form: str, images=IMAGES):
    config = SimpleNamespace(adapt=SimpleNamespace(statistics=form))
    frame = SimpleNamespace(config=config, model=halved_and_shifted)
    return pass_domains(frame, 3.0, BEFORE, images)


@pytest.mark.parametrize(
    ("form", "used", "after"),
    [("per_domain", (2.0, 4.0), (6.0, 17.0)), ("shared", (2.0, 6.0), (18.0, 18.0))],
)
def test_each_domain_passes_alone_and_moves_its_own_statistics_or_the_ones_that_are_shared(form, used, after):
    outputs, statistics = passed(form)
    for (values, mean), view, wanted in zip(outputs, IMAGES, used, strict=True):
        np.testing.assert_array_equal(values, 3.0 * view)
        assert mean == wanted
    assert statistics == ByDomain(*after)


@pytest.mark.parametrize(("form", "after"), [("per_domain", (2.0, 17.0)), ("shared", (17.0, 17.0))])
def test_a_domain_that_is_not_there_has_no_output_and_moves_nothing(form, after):
    outputs, statistics = passed(form, IMAGES._replace(source=None))
    assert outputs.source is None
    assert outputs.target[1] == 4.0
    assert statistics == ByDomain(*after)


class WithStripes:
    """A network whose feature is the image, whose statistics count the passes and whose stripes are its halves."""

    def features_and_stripes(self, variables, view, *, train: bool, num_parts: int):
        assert train
        stripes = jnp.stack(jnp.split(view, num_parts, axis=-1))
        return variables["params"] * view, stripes, {"branches": variables["batch_stats"]["branches"] + 1}

    def outputs_from(self, variables, features, *, train: bool):
        assert train
        return ("outputs", features), {"fusion_neck": variables["batch_stats"]["fusion_neck"] + 10}


@pytest.mark.parametrize("form", ["per_domain", "shared"])
def test_one_pass_gives_outputs_and_parts_and_moves_the_statistics_of_both(form):
    config = SimpleNamespace(adapt=SimpleNamespace(statistics=form))
    frame = SimpleNamespace(config=config, model=WithStripes())
    necks = {"mean": jnp.zeros(4), "var": jnp.ones(4)}
    before = {"network": {"branches": 0, "fusion_neck": 0}, "necks": necks}
    params = {"network": 3.0, "necks": {"scale": jnp.ones(4)}}
    rows = np.random.default_rng(0).normal(size=(2, 1, 5, 4)).astype("f4")
    given = dict(zip(("source", "target"), rows, strict=True))
    passed, after = pass_domains_with_parts(
        frame, params, ByDomain(before, before), ByDomain(**given), num_parts=2
    )
    for domain, view in given.items():
        output = getattr(passed, domain)
        assert output.whole[0] == "outputs"
        np.testing.assert_array_equal(output.whole[1], 3.0 * view)
        for half, found in zip(np.split(view, 2, axis=-1), output.parts, strict=True):
            np.testing.assert_array_equal(found.pooled, half)
            mean, var = half.mean(axis=1, keepdims=True), half.var(axis=1, keepdims=True)
            np.testing.assert_allclose(found.normed, (half - mean) / np.sqrt(var + 1e-5), atol=1e-5)
    times = 2 if form == "shared" else 1
    for statistics in after:
        assert statistics["network"] == {"branches": times, "fusion_neck": 10 * times}
        assert np.all(np.asarray(statistics["necks"]["mean"]) != 0)


def test_a_domain_that_is_not_there_has_no_parts():
    frame = SimpleNamespace(
        config=SimpleNamespace(adapt=SimpleNamespace(statistics="per_domain")), model=WithStripes()
    )
    before = {
        "network": {"branches": 0, "fusion_neck": 0},
        "necks": {"mean": jnp.zeros(2), "var": jnp.ones(2)},
    }
    params = {"network": 3.0, "necks": {"scale": jnp.ones(2)}}
    passed, after = pass_domains_with_parts(
        frame, params, ByDomain(before, before), ByDomain(None, jnp.ones((1, 3, 2))), num_parts=2
    )
    assert passed.source is None
    assert after.source is before


# --- views


def drawn(key, source: Batch | None, target: Batch | None) -> ByDomain:
    frame = SimpleNamespace(view=lambda key, images: jax.random.uniform(key, images.shape))
    return views(frame, key, source, target)


def test_each_domain_s_view_is_drawn_with_a_key_of_its_own_whoever_is_there():
    batch, key = new_batch(0, NUM_TARGET), jax.random.key(1)
    source, target = drawn(key, batch, batch)
    assert source.shape == target.shape == batch.images.shape
    assert not np.array_equal(source, target)
    alone = drawn(key, None, batch)
    assert alone.source is None
    np.testing.assert_array_equal(alone.target, target)
    assert not np.array_equal(drawn(jax.random.key(2), None, batch).target, target)
