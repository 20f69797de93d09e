import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax.config import ConfigError
from man_jax.engine.optimizer import make_optimizer
from man_jax.frame import TRAINED, ByDomain, Network
from man_jax.runs.checkpoint import (
    CHECKPOINTS,
    differ_in_padding,
    open_checkpoints,
    read_network,
    read_pretrained,
    restore_pretrained,
    restore_state,
    save_pretrained,
    save_state,
)
from man_jax.sharding import make_mesh, put_replicated, replicated
from tests.engine.tiny import NUM_SOURCE, assert_same, new_state

OPTIMIZER = make_optimizer("adam", lambda _: 0.1, weight_decay=0.0)


@pytest.fixture(scope="module")
def state():
    """Step 7 of a run, with moments, counts and statistics that are drawn."""
    rng = np.random.default_rng(0)
    state = new_state(OPTIMIZER)

    def draw(leaf):
        return np.asarray(rng.uniform(1, 9, leaf.shape), leaf.dtype)

    statistics = ByDomain(*(jax.tree.map(draw, part) for part in state.statistics))
    state = state.replace(
        step=np.int32(7), opt_state=jax.tree.map(draw, state.opt_state), statistics=statistics
    )
    return put_replicated(state, make_mesh(jax.devices()[:1]))


@pytest.fixture(scope="module")
def other():
    """A state of the same shapes and of other numbers."""
    return new_state(OPTIMIZER, seed=1)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, state):
    """A work directory with the state of step 7, saved from one device, and its pre-trained variables."""
    workdir = tmp_path_factory.mktemp("run")
    with open_checkpoints(workdir) as checkpoints:
        save_state(checkpoints, state)
    save_pretrained(workdir, state, num_source=NUM_SOURCE)
    return workdir


@pytest.fixture(scope="module")
def restored(workdir, other):
    with open_checkpoints(workdir) as checkpoints:
        return restore_state(checkpoints, 7, other, make_mesh())


def test_what_is_restored_is_what_was_saved_bit_for_bit(restored, state):
    assert_same(restored, state)


def test_the_random_key_is_restored_as_a_key(restored, state):
    assert restored.key.dtype == state.key.dtype
    np.testing.assert_array_equal(jax.random.bits(restored.key), jax.random.bits(state.key))


def test_a_state_saved_on_one_device_is_restored_on_eight(restored):
    everywhere = replicated(make_mesh())
    assert len(everywhere.device_set) == 8
    for leaf in jax.tree.leaves(restored):
        assert leaf.sharding.is_equivalent_to(everywhere, leaf.ndim)


def test_shapes_alone_suffice_to_restore(workdir, other, state):
    like = jax.eval_shape(lambda: other)
    with open_checkpoints(workdir) as checkpoints:
        assert_same(restore_state(checkpoints, 7, like, make_mesh()), state)


def test_a_restored_state_may_be_donated(workdir, other, state):
    with open_checkpoints(workdir) as checkpoints:
        restored = restore_state(checkpoints, 7, other, make_mesh())
    doubled = jax.jit(lambda s: jax.tree.map(lambda x: x * 2, s), donate_argnums=0)(restored.params)
    assert_same(doubled, jax.tree.map(lambda x: x * 2, state.params))


def test_a_new_work_directory_has_no_checkpoint(tmp_path):
    with open_checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() is None


def test_saving_a_step_twice_saves_it_once(tmp_path, state):
    with open_checkpoints(tmp_path) as checkpoints:
        save_state(checkpoints, state)
        save_state(checkpoints, state)
        assert list(checkpoints.all_steps()) == [7]


def test_only_the_last_checkpoints_are_kept(tmp_path, state):
    small = state.replace(params={}, statistics=(), opt_state=())
    with open_checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (1, 2, 3):
            save_state(checkpoints, small.replace(step=np.int32(step)))
        assert sorted(checkpoints.all_steps()) == [2, 3]


def test_a_save_that_was_killed_does_not_exist(tmp_path, state):
    small = state.replace(params={}, statistics=(), opt_state=())
    with open_checkpoints(tmp_path) as checkpoints:
        save_state(checkpoints, small)
    _leftover(tmp_path)
    with open_checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() == 7
        assert list(checkpoints.all_steps()) == [7]


def test_what_a_killed_save_left_is_gone_after_the_next_one(tmp_path, state):
    leftover = _leftover(tmp_path)
    with open_checkpoints(tmp_path) as checkpoints:
        save_state(checkpoints, state.replace(params={}, statistics=(), opt_state=()))
    assert not leftover.exists()


def _leftover(workdir):
    """What kill -9 leaves of a save of step 9."""
    folder = workdir / CHECKPOINTS / "9.orbax-checkpoint-tmp"
    (folder / "default").mkdir(parents=True)
    (folder / "default" / "half").write_text("a")
    return folder


@pytest.mark.parametrize(
    ("saved", "differ"),
    [
        ({"rows": (5, 3), "labels": (4,)}, False),
        ({"rows": (8, 3), "labels": (4,)}, True),
        ({"rows": (4, 3), "labels": (4,)}, True),
        ({"rows": (8, 3), "labels": (5,)}, False),
        ({"rows": (8, 2), "labels": (4,)}, False),
        ({"rows": (8,), "labels": (4,)}, False),
        ({"labels": (4,)}, False),
    ],
)
def test_only_where_padding_alone_differs_an_array_may_have_another_shape(saved, differ):
    like = {"rows": np.zeros((5, 3)), "labels": np.zeros(4)}
    assert differ_in_padding(saved, like, {"ro*": 0}) is differ


# --- weights alone


def test_the_last_weights_are_those_of_the_last_step_with_each_domain_s_statistics(tmp_path, state):
    doubled = jax.tree.map(lambda leaf: 2 * leaf, state.statistics.target)
    last = state.replace(step=np.int32(8), statistics=state.statistics._replace(target=doubled))
    with open_checkpoints(tmp_path) as checkpoints:
        save_state(checkpoints, state)
        save_state(checkpoints, last)
    step, source, target = read_network(tmp_path, TRAINED)
    assert step == 8
    assert_same(source, TRAINED.variables(last, "source"))
    assert_same(target, TRAINED.variables(last, "target"))


def test_a_network_that_a_method_keeps_of_its_own_is_read_from_where_it_is(tmp_path, state):
    teacher = jax.tree.map(lambda leaf: -leaf, state.params)
    small = state.replace(
        opt_state=(), slots={"teacher": {"params": teacher, "seen": state.statistics.source}}
    )
    with open_checkpoints(tmp_path) as checkpoints:
        save_state(checkpoints, small)
    paths = ("slots", "teacher", "params"), ("statistics", "source"), ("slots", "teacher", "seen")
    where = Network(*paths, num_parts=2)
    _, source, target = read_network(tmp_path, where)
    assert_same(source, {"params": teacher, "batch_stats": state.statistics.source})
    assert_same(target, {"params": teacher, "batch_stats": state.statistics.source})


def test_pre_trained_weights_are_those_of_the_source(workdir, state):
    found = read_pretrained(workdir)
    assert_same(found["batch_stats"], state.statistics.source)
    assert_same(found["params"]["branches"], state.params["branches"])


@pytest.mark.parametrize("read", [lambda workdir: read_network(workdir, TRAINED), read_pretrained])
def test_a_folder_without_weights_is_named(tmp_path, read):
    with pytest.raises(ConfigError, match=f"{re.escape(str(tmp_path))}.*name the work directory of a run"):
        read(tmp_path)


# --- pre-trained variables


def with_heads(state, change):
    """The state with another kernel in each head."""
    heads = jax.tree.map(change, state.params["heads"])
    return state.replace(params={**state.params, "heads": heads})


@pytest.fixture(scope="module")
def started(workdir, other):
    """A new state that starts from what another run's pre-training left."""
    return restore_pretrained(workdir, other, make_mesh(), num_source=NUM_SOURCE)


def test_a_run_may_start_from_the_branches_of_another(started, state):
    assert_same(started.params["branches"], state.params["branches"])
    for domain in ("source", "target"):  # equal until adaptation begins
        assert_same(getattr(started.statistics, domain), state.statistics.source)


@pytest.mark.parametrize("head", ["modal", "fused"])
def test_of_the_heads_the_source_columns_are_taken_and_the_target_columns_are_new(
    started, state, other, head
):
    found, old, new = (np.asarray(s.params["heads"][head]["kernel"]) for s in (started, state, other))
    np.testing.assert_array_equal(found[..., :NUM_SOURCE], old[..., :NUM_SOURCE])
    np.testing.assert_array_equal(found[..., NUM_SOURCE:], new[..., NUM_SOURCE:])


def test_all_but_the_variables_is_new(started, other):
    for part in ("step", "opt_state", "slots", "key"):
        assert_same(getattr(started, part), getattr(other, part))


def test_the_number_of_clusters_need_not_be_the_other_run_s(workdir, other, state):
    more = with_heads(other, lambda kernel: jnp.concatenate([kernel, kernel], axis=-1))
    started = restore_pretrained(workdir, more, make_mesh(), num_source=NUM_SOURCE)
    kernel = np.asarray(started.params["heads"]["fused"]["kernel"])
    assert kernel.shape == more.params["heads"]["fused"]["kernel"].shape
    expected = np.asarray(state.params["heads"]["fused"]["kernel"])[..., :NUM_SOURCE]
    np.testing.assert_array_equal(kernel[..., :NUM_SOURCE], expected)


def test_a_run_without_pretrained_variables_is_named(tmp_path, other):
    message = (
        f"config.pretrain.init_from: {re.escape(str(tmp_path))}.* does not exist; name the work directory"
    )
    with pytest.raises(ConfigError, match=message):
        restore_pretrained(tmp_path, other, make_mesh(), num_source=NUM_SOURCE)


def test_variables_of_another_network_are_refused_by_name_and_both_shapes(workdir, other):
    smaller = with_heads(other, lambda kernel: kernel[..., :-2, :])
    rows = other.params["heads"]["fused"]["kernel"].shape[0]
    wanted = (
        f"['params']['heads']['fused']['kernel'] ({rows}, {NUM_SOURCE}) instead of ({rows - 2}, {NUM_SOURCE})"
    )
    with pytest.raises(ConfigError, match=re.escape(wanted)):
        restore_pretrained(workdir, smaller, make_mesh(), num_source=NUM_SOURCE)


def test_other_source_identities_are_refused(workdir, other):
    with pytest.raises(ConfigError, match="use the model and the source it was trained with"):
        restore_pretrained(workdir, other, make_mesh(), num_source=NUM_SOURCE - 1)


def test_a_network_with_a_part_more_is_refused_by_the_part_s_name(workdir, other):
    more = other.replace(params={**other.params, "extra": {"kernel": np.zeros((2, 2), np.float32)}})
    with pytest.raises(ConfigError, match=r"\['params'\]\['extra'\]\['kernel'\] None instead of \(2, 2\)"):
        restore_pretrained(workdir, more, make_mesh(), num_source=NUM_SOURCE)
