import jax
import numpy as np
import pytest

from man_jax.networks.convolution import (
    FEW_CHANNELS,
    FOLDED_FEATURES,
    IMAGE_CHANNELS,
    WHOLE_FEATURES,
    Convolution,
    convolve_folded,
    convolve_lax,
    convolve_taps,
)
from tests.oracles import networks as oracle
from tests.oracles.precision import assert_close, both_precisions, evaluate, gradient

FORMS = {"lax": convolve_lax, "taps": convolve_taps, "folded": convolve_folded}
MANY_CHANNELS = FEW_CHANNELS + 1

every_form = pytest.mark.parametrize("form", FORMS)
every_size = pytest.mark.parametrize("size", [1, 3, 7])
every_stride = pytest.mark.parametrize("stride", [1, 2])
few_and_many_channels = pytest.mark.parametrize("channels", [3, IMAGE_CHANNELS + 1, MANY_CHANNELS])


def drawn(size: int, channels: int, height: int = 6, width: int = 7):
    """Maps of an even height and an odd width, and a kernel of two features."""
    rng = np.random.default_rng([size, channels])
    maps = rng.normal(size=(2, height, width, channels))
    return maps, rng.normal(size=(size, size, channels, 2)) / size


def energy(maps, kernel, *, form, stride):
    return 0.5 * (FORMS[form](maps, kernel, stride=stride) ** 2).sum()


@few_and_many_channels
@every_stride
@every_size
@every_form
def test_a_convolution_is_the_sum_over_its_taps(form, size, stride, channels):
    maps, kernel = drawn(size, channels)
    actual = evaluate(FORMS[form], maps, kernel, stride=stride)
    assert_close(actual, oracle.convolution(maps, kernel, stride))


@both_precisions
@every_form
def test_an_odd_height_and_an_even_width_are_padded_alike(form, precision):
    maps, kernel = drawn(3, 3, height=7, width=6)
    actual = evaluate(FORMS[form], maps, kernel, stride=2, precision=precision)
    assert_close(actual, oracle.convolution(maps, kernel, 2), precision)


@few_and_many_channels
@every_stride
@every_size
def test_all_forms_have_the_same_gradients(size, stride, channels):
    maps, kernel = drawn(size, channels)
    lax, *others = (gradient(energy, maps, kernel, by=(0, 1), form=form, stride=stride) for form in FORMS)
    for other in others:
        assert_close(other[0], lax[0])
        assert_close(other[1], lax[1])


@every_form
def test_a_map_smaller_than_the_kernel_is_convolved_with_its_padding(form):
    maps, kernel = drawn(7, 3, height=2, width=1)
    actual = evaluate(FORMS[form], maps, kernel, stride=2)
    assert_close(actual, oracle.convolution(maps, kernel, 2))


WINDOWS = {"lax": "window_strides=(2, 2)", "folded": "window_strides=(1, 1)", "taps": "dot_general"}
"""What the program of a form has, and those of the others do not have, for a stride of 2."""


@pytest.mark.parametrize(
    ("form", "channels", "features", "expected"),
    [
        ("lax", 3, 2, "lax"),
        ("lax", IMAGE_CHANNELS, 2, "lax"),
        ("taps", 3, 2, "taps"),
        ("mixed", IMAGE_CHANNELS, 2, "taps"),
        ("mixed", 3, FOLDED_FEATURES, "folded"),
        ("mixed", 3, FOLDED_FEATURES + 1, "taps"),
        ("mixed", 3, WHOLE_FEATURES - 1, "taps"),
        ("mixed", 3, WHOLE_FEATURES, "lax"),
    ],
)
def test_a_module_convolves_in_the_form_that_suits_its_channels_and_features(
    form, channels, features, expected
):
    maps = np.ones((1, 8, 8, channels), np.float32)
    module = Convolution(features, 3, stride=2, form=form)
    program = str(jax.make_jaxpr(lambda x: module.init_with_output(jax.random.key(0), x)[0])(maps))
    assert [name for name, part in WINDOWS.items() if part in program] == [expected]
