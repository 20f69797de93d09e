"""A network, a state and batches as small as they can be, with nothing in them that is zero by accident."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from man_jax.engine.state import Banks, TrainState, create_state
from man_jax.engine.step import Batch
from man_jax.memories.cross_batch import Memory
from man_jax.memories.prototypes import Bank
from man_jax.networks.resnet import ResNet
from man_jax.networks.three_branch import Branch, ThreeBranch
from tests.oracles.cases import unit_normal

NUM_SOURCE, NUM_TARGET = 5, 6
NUM_TRIPLES = 24
"""Of each domain, where there are domains."""
P, K, M = 4, 2, 3
B = P * K
MEMORY = 40
IMAGE_SIZE = (32, 32)
BACKBONE = ResNet(stage_sizes=(1,), width=4, form="taps")
D = BACKBONE.dim
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""For programs that run once: they take seconds to optimise and milliseconds to run."""
MODEL = ThreeBranch(Branch(BACKBONE), num_classes=NUM_SOURCE + NUM_TARGET, application="vmap")


def new_state(optimizer: optax.GradientTransformation, *, seed: int = 0) -> TrainState:
    """A state amid training: prototypes in the banks, the last cluster invalid, a memory half full."""

    def create():
        return create_state(
            MODEL,
            optimizer,
            key=jax.random.key(seed),
            image_size=IMAGE_SIZE,
            num_source=NUM_SOURCE,
            num_target=NUM_TARGET,
            memory_size=MEMORY,
        )

    state = jax.jit(create, compiler_options=QUICKLY)()
    rng = np.random.default_rng(seed)
    banks = Banks(new_bank(rng, NUM_SOURCE), new_bank(rng, NUM_TARGET, invalid=(NUM_TARGET - 1,)))
    half = MEMORY // 2
    labels = np.where(np.arange(MEMORY) < half, np.arange(MEMORY) % MODEL.num_classes, -1)
    features = rng.normal(size=(MEMORY, M * D)) * (labels >= 0)[:, None]
    memory = Memory(*(jnp.asarray(x, t) for x, t in ((features, "f4"), (labels, "i4"), (half, "i4"))))
    return state.replace(banks=banks, memory=memory)


def in_double(state: TrainState) -> TrainState:
    """The same state with every float in double precision, for use under `jax.enable_x64`."""
    return jax.tree.map(lambda x: x.astype("f8") if jnp.issubdtype(x.dtype, jnp.floating) else x, state)


def new_bank(rng: np.random.Generator, num_classes: int, *, invalid: tuple[int, ...] = ()) -> Bank:
    valid = ~np.isin(np.arange(num_classes), invalid)
    modal = unit_normal(rng, M, num_classes, D) * valid[:, None]
    fused = unit_normal(rng, num_classes, M * D) * valid[:, None]
    return Bank(jnp.asarray(modal, "f4"), jnp.asarray(fused, "f4"), jnp.asarray(valid))


def new_batch(seed: int, num_classes: int, *, reliable: np.ndarray | None = None) -> Batch:
    """P of the classes, K triples each, of bytes."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.permutation(num_classes)[:P], K).astype(np.int32)
    images = rng.integers(0, 256, (B, M, *IMAGE_SIZE, 3), np.uint8)
    return Batch(images, labels, np.ones(B, bool) if reliable is None else reliable)


def as_arrays(tree):
    """The leaves of a state as NumPy arrays, its random key as the words it consists of."""

    def plain(leaf):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    return jax.tree.map(plain, tree)


def assert_same(actual, expected) -> None:
    """Bit for bit the same tree; the message names the leaf that is not."""
    actual, expected = (jax.tree_util.tree_leaves_with_path(as_arrays(tree)) for tree in (actual, expected))
    assert [path for path, _ in actual] == [path for path, _ in expected]
    for (path, leaf), (_, wanted) in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(leaf, wanted, err_msg=jax.tree_util.keystr(path), strict=True)
