"""Every backbone and type of computation goes through the same network and step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax.config import CHOICES, Config
from man_jax.configs import default
from man_jax.engine.augment import Normalization, normalize
from man_jax.engine.build import build_frame, build_model
from man_jax.engine.optimizer import make_optimizer
from man_jax.engine.state import create_state
from man_jax.engine.step import make_step
from man_jax.frame import ByDomain
from man_jax.memories.prototypes import Bank
from man_jax.methods import man
from man_jax.networks.three_branch import ThreeBranch
from man_jax.sharding import make_mesh, put_batch, put_replicated
from tests.engine.tiny import (
    IMAGE_SIZE,
    MEMORY,
    NUM_SOURCE,
    NUM_TARGET,
    NUM_TRIPLES,
    QUICKLY,
    SPACE,
    M,
    as_arrays,
    new_batch,
)
from tests.oracles.cases import unit_normal
from tests.traced_programs import equations

CASES = [(backbone, dtype) for backbone in CHOICES["model.backbone"] for dtype in CHOICES["model.dtype"]]
STEPPED = [("resnet", "bfloat16"), ("clip", "bfloat16")]
"""A step takes long to compile; the resnet in float32 is what the other tests step, a vit is a clip without."""
DIMS = {"resnet": 16, "vit": 24, "clip": 10, "msinet": 8}
MULTIPLICATIONS = ("dot_general", "conv_general_dilated")


def config_of(backbone: str, dtype: str) -> Config:
    config = default.get_config()
    config.data.image_size = IMAGE_SIZE
    config.man.memory_size = MEMORY
    config.model.update(backbone=backbone, dtype=dtype, stage_sizes=(1,), width=4)
    config.model.msinet.update(widths=(4, 8), interactions=("ag", "exc", "cross_att", "none"))
    projection = 10 if backbone == "clip" else 0
    config.model.vit.update(patch=8, stride=6, width=24, depth=1, heads=2, projection=projection)
    return config


def model_of(backbone: str, dtype: str) -> ThreeBranch:
    return build_model(config_of(backbone, dtype).model, num_classes=NUM_SOURCE + NUM_TARGET)


class Adaptation:
    """One step of adaptation, among drawn prototypes."""

    def __init__(self, backbone: str, dtype: str):
        frame = build_frame(config_of(backbone, dtype), SPACE, ByDomain(NUM_TRIPLES, NUM_TRIPLES))
        frame = frame._replace(view=lambda _, images: normalize(images, Normalization()))
        self.model = frame.model
        mesh = make_mesh(jax.devices()[:1])
        optimizer = make_optimizer("adam", lambda _: 1e-3, weight_decay=1e-4)
        rng, dim = np.random.default_rng(0), self.model.dim

        def bank(num_classes: int) -> Bank:
            modal, fused = (
                unit_normal(rng, *shape) for shape in ((M, num_classes, dim), (num_classes, M * dim))
            )
            return Bank(jnp.asarray(modal, "f4"), jnp.asarray(fused, "f4"), jnp.ones(num_classes, bool))

        def create():
            return man.start(frame, create_state(frame, optimizer))

        state = jax.jit(create, compiler_options=QUICKLY)()
        slots = state.slots._replace(banks=ByDomain(bank(NUM_SOURCE), bank(NUM_TARGET)))
        state = put_replicated(state.replace(slots=slots), mesh)
        self.before = as_arrays(state)
        step = make_step(man, frame, optimizer, mesh)
        batches = (new_batch(1, NUM_SOURCE), new_batch(2, NUM_TARGET))
        placed = [put_batch(batch, mesh) for batch in batches]
        compiled = step.lower(state, *placed).compile(compiler_options=QUICKLY)
        after, terms = compiled(state, *placed)
        self.after, self.terms = as_arrays(after), as_arrays(terms)


@pytest.fixture(scope="module", params=STEPPED, ids="-".join)
def case(request) -> tuple[str, str, Adaptation]:
    return (*request.param, Adaptation(*request.param))


def test_the_length_of_features_is_the_network_s(case):
    backbone, _, adaptation = case
    assert adaptation.model.dim == DIMS[backbone]
    assert adaptation.after.slots.banks.target.modal.shape == (3, NUM_TARGET, DIMS[backbone])
    assert adaptation.after.slots.queue.features.shape == (MEMORY, 3 * DIMS[backbone])


def test_every_loss_is_a_finite_number_in_single_precision(case):
    for name, value in case[-1].terms.items():
        assert value.dtype == np.float32, name
        assert np.isfinite(value), name


def test_whatever_is_kept_is_kept_in_the_type_it_had(case):
    before, after = (
        [leaf.dtype for leaf in jax.tree.leaves(state)] for state in (case[-1].before, case[-1].after)
    )
    assert before == after
    assert np.dtype(jnp.bfloat16) not in after


def test_a_step_moves_every_parameter(case):
    before, after = (
        dict(jax.tree_util.tree_leaves_with_path(state.params)) for state in (case[-1].before, case[-1].after)
    )
    still = [jax.tree_util.keystr(path) for path in before if np.array_equal(before[path], after[path])]
    assert still == []


def multiplied_types(jaxpr) -> set[str]:
    """Types of what is multiplied by matrix products and convolutions, in all that a program calls."""
    products = (each for each in equations(jaxpr) if each.primitive.name in MULTIPLICATIONS)
    return {str(operand.aval.dtype) for each in products for operand in each.invars}


@pytest.mark.parametrize(("backbone", "dtype"), CASES)
def test_the_backbone_multiplies_in_the_chosen_type_only(backbone, dtype):
    network = model_of(backbone, dtype).branch.backbone
    image = jnp.zeros((1, *IMAGE_SIZE, 3))

    def run(key):
        return network.apply(network.init(key, image, train=False), image, train=False)

    def forward(variables):
        return network.apply(variables, image, train=True, mutable=["batch_stats"])[0]

    variables = jax.eval_shape(lambda key: network.init(key, image, train=False), jax.random.key(0))
    assert multiplied_types(jax.make_jaxpr(forward)(variables).jaxpr) == {dtype}
    assert jax.eval_shape(run, jax.random.key(0)).dtype == jnp.float32


@pytest.mark.parametrize("backbone", ["resnet", "clip"])
def test_features_in_bfloat16_are_those_in_single_precision_to_its_rounding(backbone):
    model = model_of(backbone, "float32")
    images = np.random.default_rng(0).normal(size=(4, 3, *IMAGE_SIZE, 3)).astype("f4")
    variables = jax.jit(lambda key: model.init(key, IMAGE_SIZE), compiler_options=QUICKLY)(jax.random.key(0))

    def features(dtype):
        network = model_of(backbone, dtype)
        return jax.jit(
            lambda v, x: network.features(v, x, train=False)[0].modal_unit, compiler_options=QUICKLY
        )(variables, images)

    single, half = features("float32"), features("bfloat16")
    assert not np.array_equal(single, half)
    assert float(jnp.min(jnp.sum(single * half, axis=-1))) > 0.999
