import jax
import numpy as np
import optax
import pytest

from man_jax.engine.optimizer import epochwise_cosine, make_optimizer, warmup_cosine
from tests.oracles import optimizers as oracle

STEPS = 5
RATE, DECAY = 0.05, 0.1


def drawn():
    """A kernel, a norm's scale and bias, and STEPS gradients of each."""
    rng = np.random.default_rng(0)
    shapes = {"conv": {"kernel": (3, 2)}, "bn": {"scale": (2,), "bias": (2,)}}
    is_shape = {"is_leaf": lambda leaf: isinstance(leaf, tuple)}
    params = jax.tree.map(lambda shape: rng.normal(size=shape), shapes, **is_shape)
    gradients = [jax.tree.map(lambda shape: rng.normal(size=shape), shapes, **is_shape) for _ in range(STEPS)]
    return params, gradients


def trained(name: str, *, schedule=lambda _: RATE, **settings):
    params, gradients = drawn()
    with jax.enable_x64(True):
        params = jax.tree.map(jax.numpy.asarray, params)
        optimizer = make_optimizer(name, schedule, weight_decay=DECAY, **settings)
        state = optimizer.init(params)
        for gradient in gradients:
            updates, state = optimizer.update(gradient, state, params)
            params = optax.apply_updates(params, updates)
        return jax.tree.map(np.asarray, params)


def expected(part: str, leaf: str, update, **settings):
    params, gradients = drawn()
    return update(params[part][leaf], [g[part][leaf] for g in gradients], [RATE] * STEPS, **settings)


@pytest.mark.parametrize("form", ["coupled", "decoupled"])
def test_adam_is_pytorch_s_adam_and_adamw(form):
    wanted = expected("conv", "kernel", oracle.adam, decay=DECAY, decoupled=form == "decoupled")
    np.testing.assert_allclose(trained("adam", decay_form=form)["conv"]["kernel"], wanted, rtol=1e-9)


def test_sgd_is_pytorch_s_with_momentum():
    wanted = expected("conv", "kernel", oracle.sgd, decay=DECAY)
    np.testing.assert_allclose(trained("sgd")["conv"]["kernel"], wanted, rtol=1e-9)


@pytest.mark.parametrize("leaf", ["scale", "bias"])
@pytest.mark.parametrize("decay_norms", [False, True])
def test_norms_decay_only_if_asked_to(leaf, decay_norms):
    wanted = expected("bn", leaf, oracle.adam, decay=DECAY * decay_norms, decoupled=False)
    np.testing.assert_allclose(trained("adam", decay_norms=decay_norms)["bn"][leaf], wanted, rtol=1e-9)


@pytest.mark.parametrize("form", ["coupled", "decoupled"])
@pytest.mark.parametrize("leaf", ["scale", "bias"])
def test_biases_and_nothing_else_learn_at_their_own_rate(leaf, form):
    """As PyTorch's optimiser with a group of its own for biases."""
    params, gradients = drawn()
    rate = 2 * RATE if leaf == "bias" else RATE
    wanted = oracle.adam(
        params["bn"][leaf],
        [g["bn"][leaf] for g in gradients],
        [rate] * STEPS,
        decay=DECAY,
        decoupled=form == "decoupled",
    )
    actual = trained("adam", decay_form=form, decay_norms=True, bias_rate=2.0)
    np.testing.assert_allclose(actual["bn"][leaf], wanted, rtol=1e-9)
    kernel = expected("conv", "kernel", oracle.adam, decay=DECAY, decoupled=form == "decoupled")
    np.testing.assert_allclose(actual["conv"]["kernel"], kernel, rtol=1e-9)


def test_the_rate_of_each_step_is_the_schedule_s():
    rates = [0.1, 0.2, 0.0, 0.05, 0.3]
    params, gradients = drawn()
    actual = trained("sgd", schedule=lambda step: jax.numpy.asarray(rates)[step])
    wanted = oracle.sgd(
        params["conv"]["kernel"], [g["conv"]["kernel"] for g in gradients], rates, decay=DECAY
    )
    np.testing.assert_allclose(actual["conv"]["kernel"], wanted, rtol=1e-9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "lion"}, "optimizer is 'lion'; choose one of.*adam.*sgd"),
        ({"name": "adam", "decay_form": "none"}, "decay_form is 'none'; choose one of.*coupled.*decoupled"),
    ],
)
def test_an_unknown_choice_lists_the_choices(settings, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(schedule=lambda _: RATE, weight_decay=0.0, **settings)


# --- the schedule


@pytest.mark.parametrize(
    ("step", "share"),
    [
        (0, 0.01),
        (5, 0.505),  # half of the way up from a hundredth
        (10, 1.0),
        (60, 0.5 * (1 + np.cos(np.pi / 2))),
        (85, 0.5 * (1 + np.cos(np.pi * 0.75))),
        (110, 0.0),
        (200, 0.0),
    ],
)
def test_the_rate_rises_linearly_and_falls_as_a_cosine_to_zero(step, share):
    schedule = warmup_cosine(2.0, warmup_steps=10, total_steps=110)
    np.testing.assert_allclose(schedule(step), 2.0 * share, atol=1e-6)


def test_without_warm_up_the_first_step_has_the_peak_rate():
    assert warmup_cosine(2.0, warmup_steps=0, total_steps=10)(0) == pytest.approx(2.0)


@pytest.mark.parametrize(("warmup", "total"), [(0, 0), (0, 1), (10, 10)])
def test_a_phase_of_any_length_has_finite_rates(warmup, total):
    schedule = warmup_cosine(2.0, warmup_steps=warmup, total_steps=total)
    assert np.isfinite([schedule(step) for step in range(total + 2)]).all()


def epochwise(epochs=40, warmup_epochs=10, iterations=3):
    """The rate of every step, over the peak."""
    schedule = epochwise_cosine(2.0, warmup_epochs=warmup_epochs, epochs=epochs, iterations=iterations)
    return np.array([float(schedule(step)) / 2.0 for step in range(epochs * iterations)])


def test_a_rate_by_epoch_is_the_same_within_an_epoch_and_ends_at_a_thousandth():
    rates = epochwise().reshape(40, 3)
    np.testing.assert_array_equal(rates, np.repeat(rates[:, :1], 3, axis=1))
    assert rates[-1, 0] == pytest.approx(0.001)
    assert len(np.unique(rates[:, 0])) == 40


@pytest.mark.parametrize(
    ("epoch", "share"),
    [
        (1, 0.01 + 0.99 * 0.1),
        (9, 0.01 + 0.99 * 0.9),
        (10, 0.001 + 0.999 * (1 + np.cos(np.pi / 4)) / 2),  # the cosine has begun at epoch 0
        (20, 0.001 + 0.999 / 2),
    ],
)
def test_a_rate_by_epoch_counts_its_cosine_under_the_warm_up(epoch, share):
    assert epochwise()[3 * (epoch - 1)] == pytest.approx(share, rel=1e-5)


def test_the_schedule_by_step_sums_to_more_than_the_one_by_epoch():
    by_step = warmup_cosine(1.0, warmup_steps=4000, total_steps=16000)
    ours = np.array([float(by_step(step)) for step in range(0, 16000, 50)])
    theirs = np.repeat(epochwise(iterations=1), 8)
    assert ours.sum() / theirs.sum() == pytest.approx(1.29, abs=0.01)
    assert np.abs(ours - theirs).max() == pytest.approx(0.29, abs=0.01)


@pytest.mark.parametrize(("epochs", "warmup_epochs"), [(1, 0), (1, 1), (5, 5), (0, 0)])
def test_a_rate_by_epoch_of_any_length_is_finite_and_not_negative(epochs, warmup_epochs):
    schedule = epochwise_cosine(2.0, warmup_epochs=warmup_epochs, epochs=epochs, iterations=2)
    rates = np.array([float(schedule(step)) for step in range(2 * epochs + 3)])
    assert np.isfinite(rates).all()
    assert (rates >= 0).all()
