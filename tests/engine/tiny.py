"""A network, a state and batches as small as they can be, with nothing in them that is zero by accident."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from man_jax.configs.variants import turn

from man_jax.config import Config
from man_jax.configs import default, demo
from man_jax.engine.build import build_frame
from man_jax.engine.state import create_state
from man_jax.frame import Batch, ByDomain, Frame, LabelSpace, TrainState
from man_jax.memories.cross_batch import CrossBatch
from man_jax.memories.prototypes import Bank
from man_jax.methods import man
from tests.oracles.cases import unit_normal
from tests.quick_programs import HAS_OLDER_LOOPS

NUM_SOURCE, NUM_TARGET = 5, 6
NUM_TRIPLES = 24
"""Of each domain, where there are domains."""
NUM_CAMERAS = 2
P, K, M = 4, 2, 3
B = P * K
MEMORY = 40
IMAGE_SIZE = (32, 32)
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""For programs that run once: they take seconds to optimise and milliseconds to run."""
ALIKE = QUICKLY | ({"xla_cpu_use_fusion_emitters": True} if HAS_OLDER_LOOPS else {})
"""For programs that are compared to the bit: XLA's older loops, which tests use elsewhere, add up in another order in
another program."""
SPACE = LabelSpace(num_source=NUM_SOURCE, capacity=NUM_TARGET)
SIZES = {
    "data.image_size": IMAGE_SIZE,
    "model.stage_sizes": (1,),
    "model.width": 4,
    "model.convolution": "taps",
    "model.application": "vmap",
    "batch.identities": P,
    "batch.instances": K,
    "adapt.num_clusters": NUM_TARGET,
    "man.memory_size": MEMORY,
}


def small_config(row: str = "paper", **changes: Any) -> Config:
    """The smallest run of the demonstration as a row has it; `changes` by full key, e.g. `batch__identities=4`."""
    config = turn(demo.get_config("smoke"), row)
    config.model.update(stage_sizes=(1,), width=4)
    config.update_from_flattened_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config


def new_frame(**changes: Any) -> Frame:
    """What a method sees of a run of MAN; `changes` by full key, e.g. `**{"man.momentum": 0.9}`."""
    config = default.get_config()
    config.update_from_flattened_dict(SIZES | changes)
    cameras = (np.arange(NUM_TRIPLES) % NUM_CAMERAS).astype(np.int32)
    return build_frame(config, SPACE, ByDomain(NUM_TRIPLES, NUM_TRIPLES), ByDomain(cameras, cameras))


MODEL = new_frame().model
BACKBONE = MODEL.branch.backbone
D = MODEL.dim


_CREATIONS: dict[tuple, Callable[[], TrainState]] = {}


def created(frame: Frame, optimizer: optax.GradientTransformation) -> TrainState:
    """The state of a new run; frames that agree in all that it depends on share the compiled program."""
    kind = (frame.model, optimizer, frame.config.seed, tuple(frame.config.data.image_size))
    if kind not in _CREATIONS:
        _CREATIONS[kind] = jax.jit(lambda: create_state(frame, optimizer), compiler_options=QUICKLY)
    return _CREATIONS[kind]()


def new_state(optimizer: optax.GradientTransformation, *, seed: int = 0) -> TrainState:
    """A state amid adaptation of MAN: prototypes in the banks, the last cluster invalid, a queue half full."""
    state = created(new_frame(seed=seed), optimizer)
    rng = np.random.default_rng(seed)
    banks = ByDomain(new_bank(rng, NUM_SOURCE), new_bank(rng, NUM_TARGET, invalid=(NUM_TARGET - 1,)))
    half = MEMORY // 2
    labels = np.where(np.arange(MEMORY) < half, np.arange(MEMORY) % MODEL.num_classes, -1)
    features = rng.normal(size=(MEMORY, M * D)) * (labels >= 0)[:, None]
    queue = CrossBatch(*(jnp.asarray(x, t) for x, t in ((features, "f4"), (labels, "i4"), (half, "i4"))))
    return state.replace(slots=man.Slots(banks, queue, SPACE.exists(NUM_TARGET)))


def in_double(state: TrainState) -> TrainState:
    """The same state with every float in double precision, for use under `jax.enable_x64`."""
    return jax.tree.map(lambda x: x.astype("f8") if jnp.issubdtype(x.dtype, jnp.floating) else x, state)


def new_bank(rng: np.random.Generator, num_classes: int, *, invalid: tuple[int, ...] = ()) -> Bank:
    valid = ~np.isin(np.arange(num_classes), invalid)
    modal = unit_normal(rng, M, num_classes, D) * valid[:, None]
    fused = unit_normal(rng, num_classes, M * D) * valid[:, None]
    return Bank(jnp.asarray(modal, "f4"), jnp.asarray(fused, "f4"), jnp.asarray(valid))


def new_batch(seed: int, num_classes: int, *, reliable: np.ndarray | None = None) -> Batch:
    """P of the classes, K triples each, of bytes; those that are not reliable weigh nothing."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.permutation(num_classes)[:P], K).astype(np.int32)
    images = rng.integers(0, 256, (B, M, *IMAGE_SIZE, 3), np.uint8)
    return Batch(
        images=images,
        index=rng.permutation(NUM_TRIPLES)[:B].astype(np.int32),
        camera=rng.integers(0, NUM_CAMERAS, B, np.int32),
        labels=labels[:, None],
        weight=np.ones(B, np.float32) if reliable is None else reliable.astype(np.float32),
        present=np.ones((B, M), bool),
    )


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
