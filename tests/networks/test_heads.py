import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax.engine.optimizer import make_optimizer
from man_jax.networks.heads import forget_columns, set_columns
from tests.oracles.cases import unit_normal
from tests.oracles.geometry import dot

M, D, FIRST, K = 3, 5, 4, 6
VALID = ~np.isin(np.arange(K), (1, 4))
HEADS = ["modal", "fused"]
NORMS = pytest.mark.parametrize("norm", ["matched", "unit"])


@pytest.fixture(scope="module")
def before() -> dict:
    rng = np.random.default_rng(0)
    shapes = {"modal": (M, D, FIRST + K), "fused": (M * D, FIRST + K)}
    return {name: {"kernel": jnp.asarray(rng.normal(size=shape), "f4")} for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def rows() -> dict[str, np.ndarray]:
    """Directions for the columns; those of invalid classes as well, lest zeros hide that they are taken."""
    rng = np.random.default_rng(1)
    return {"modal": unit_normal(rng, M, K, D).astype("f4"), "fused": unit_normal(rng, K, M * D).astype("f4")}


@pytest.fixture(scope="module")
def changed(before, rows):
    def change(**settings):
        after = set_columns(before, *rows.values(), first=FIRST, valid=VALID, **settings)
        return jax.tree.map(np.asarray, after)

    return change


def parts(array: np.ndarray) -> np.ndarray:
    """The kernels of a head one by one: one a modality, or the fusion's only."""
    return array.reshape(-1, *array.shape[-2:])


@pytest.mark.parametrize("head", HEADS)
def test_unit_columns_are_the_valid_rows(changed, rows, head):
    kernels = parts(changed(norm="unit")[head]["kernel"])
    for kernel, directions in zip(kernels, parts(rows[head]), strict=True):
        for i in np.flatnonzero(VALID):
            np.testing.assert_array_equal(kernel[:, FIRST + i], directions[i])


@pytest.mark.parametrize("settings", [{}, {"norm": "matched"}], ids=["unless told", "told"])
@pytest.mark.parametrize("head", HEADS)
def test_columns_point_along_their_rows_and_are_as_long_as_the_earlier_ones_on_average(
    before, changed, rows, head, settings
):
    kernels, old = parts(changed(**settings)[head]["kernel"]), parts(before[head]["kernel"])
    for kernel, first, directions in zip(kernels, old, parts(rows[head]), strict=True):
        length = np.mean([dot(first[:, c], first[:, c]) ** 0.5 for c in range(FIRST)])
        for i in np.flatnonzero(VALID):
            np.testing.assert_allclose(kernel[:, FIRST + i], length * directions[i], rtol=1e-5, atol=1e-7)


@NORMS
@pytest.mark.parametrize("head", HEADS)
def test_columns_of_invalid_classes_and_the_earlier_ones_stay(before, changed, head, norm):
    old, new = before[head]["kernel"], changed(norm=norm)[head]["kernel"]
    stays = np.concatenate([np.ones(FIRST, bool), ~VALID])
    np.testing.assert_array_equal(new[..., stays], old[..., stays])
    assert (new[..., ~stays] != old[..., ~stays]).all()


@pytest.mark.parametrize("renewed", [None, np.arange(K) % 2 == 0])
@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_the_moments_of_the_columns_or_of_the_renewed_ones_are_zero_and_all_others_stay(
    before, kind, renewed
):
    params = {"heads": before, "branches": {"neck": {"scale": np.ones((M, FIRST + K), "f4")}}}
    optimizer = make_optimizer(kind, lambda _: 0.1, weight_decay=1e-4)
    moments = jax.tree.map(jnp.ones_like, optimizer.init(params))
    forgotten = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(
        forget_columns(moments, first=FIRST, renewed=renewed)
    ):
        expected = np.ones_like(leaf)
        if "'heads'" in jax.tree_util.keystr(path):
            expected[..., FIRST:] = 0 if renewed is None else ~renewed
            forgotten += 1
        np.testing.assert_array_equal(leaf, expected, err_msg=jax.tree_util.keystr(path))
    assert forgotten == {"adam": 4, "sgd": 2}[kind]  # of two kernels
