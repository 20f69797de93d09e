"""Every key of the step reaches it, and every row of the tables is a configuration of the one step there is."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from man_jax.configs.variants import ROWS, turn

from man_jax import methods
from man_jax.config import CHOICES, ConfigError
from man_jax.configs import default, demo
from man_jax.engine import build
from man_jax.engine.state import begin_phase, create_state
from man_jax.engine.step import make_step
from man_jax.frame import Batch, ByDomain, Frame, LabelSpace, Network
from man_jax.methods import man
from man_jax.networks.three_branch import Branch
from man_jax.sharding import make_mesh
from tests.engine.small_backbone import SmallBackbone
from tests.engine.tiny import IMAGE_SIZE, QUICKLY, B, K, P, as_arrays

NUM_SOURCE, NUM_TARGET, NUM_TRIPLES = 7, 6, ByDomain(30, 20)
SUBSETS = ("model.modalities=('R',)", "model.modalities=('N', 'T')")
RELABELLING = (
    "man.rule=majority",
    "adapt.sampling=reliable",
    "man.threshold=0.2",
    "adapt.num_clusters=6",
)
UDA = {
    *(f"{loss}_{domain}" for loss in ("identity", "triplet") for domain in ("source", "target")),
    *("memory", "domain_intra", "domain_inter", "modality", "total"),
}
US = {"identity_target", "triplet_target", "memory", "modality", "total"}


def small(row: str = "paper"):
    """The demonstration as a row has it, with small images and batches."""
    config = turn(demo.get_config(), row)
    config.data.image_size = IMAGE_SIZE
    config.batch.update(identities=P, instances=K)
    return config


def frame_of(config) -> Frame:
    """The frame of a run, whose network is quickly traced."""
    frame = build.build_frame(config, LabelSpace(NUM_SOURCE, NUM_TARGET), NUM_TRIPLES)
    return frame._replace(model=replace(frame.model, branch=Branch(SmallBackbone(4))))


def step_and_create(config):
    """The step, and what creates its state."""
    frame, method = frame_of(config), methods.find(config.method)
    optimizer = build.build_optimizer(config.adapt, iterations=config.adapt.iterations)

    def create():
        return begin_phase(method.start(frame, create_state(frame, optimizer)), optimizer)

    return make_step(method, frame, optimizer, make_mesh(jax.devices()[:1])), create


def batch_of(config) -> Batch:
    """The shapes of a batch."""
    num_modalities = len(config.model.modalities)
    sizes = {
        "images": ((B, num_modalities, *IMAGE_SIZE, 3), np.uint8),
        "index": ((B,), np.int32),
        "camera": ((B,), np.int32),
        "labels": ((B, 1), np.int32),
        "weight": ((B,), np.float32),
        "present": ((B, num_modalities), np.bool_),
    }
    return Batch(**{name: jax.ShapeDtypeStruct(*size) for name, size in sizes.items()})


def parts(config):
    """The step, and the shapes of its state."""
    step, create = step_and_create(config)
    return step, jax.eval_shape(create)


def as_shapes(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


@pytest.mark.parametrize("row", ["paper", "released", *ROWS, *SUBSETS])
def test_every_row_of_the_tables_is_a_configuration_of_the_one_step(row):
    config = small(row)
    step, state = parts(config)
    batch = batch_of(config)
    us = config.adapt.protocol == "us"
    after, terms = jax.eval_shape(step, state, None if us else batch, batch)
    more = {"domain_fused"} if row == "released" else set()
    assert set(terms) == (US if us else UDA | more)
    assert as_shapes(after) == as_shapes(state)
    assert len(state.slots.banks.target.modal) == len(config.model.modalities)


@pytest.mark.parametrize(("memory_size", "held"), [(0, sum(NUM_TRIPLES)), (9, 9)])
def test_the_memory_holds_one_entry_a_training_triple_of_both_domains_unless_told(memory_size, held):
    config = small()
    config.man.memory_size = memory_size
    assert parts(config)[1].slots.queue.labels.shape == (held,)


def listen(monkeypatch, name: str) -> list:
    """The arguments with which the part of that name is called."""
    heard: list = []
    monkeypatch.setattr(
        build, name, lambda *arguments, **keywords: heard.append((arguments, keywords)) or name
    )
    return heard


def program(config) -> tuple[str, list]:
    """The loss of a step as it is traced: its text and its constants."""
    frame, batch = frame_of(config), batch_of(config)
    _, create = step_and_create(config)
    state = jax.eval_shape(create)

    def loss(state, source, target, key):
        return man.loss(frame, state.params, state, source, target, key)[0]

    traced = jax.make_jaxpr(loss)(state, batch, batch, jax.random.key(0))
    return str(traced), [np.asarray(each).tolist() for each in traced.consts]


@pytest.fixture(scope="module")
def usual():
    return program(small())


OTHERS = {
    "adapt.statistics": "shared",
    "man.momentum": 0.7,
    "man.moving_form": "sequential",
    "man.alpha": 0.3,
    "man.beta": 0.3,
    "man.memory_weight": 0.3,
    "man.domain_pairs": "ins_ins",
    "man.domain_margin": 0.3,
    "man.domain_inter": "plain",
    "man.domain_kernel": "multi",
    "man.modality_margin": 0.3,
    "man.modality_distance": "cosine",
    "man.modality_reduction": "max",
    "man.modality_pairing": "equal",
    "loss.smoothing": 0.2,
    "loss.triplet_form": "soft",
    "loss.triplet_margin": 0.4,
    "loss.triplet_fused": "pooled",
    "augment.flip": 0.1,
    "augment.pad": 7,
    "augment.erase": 0.1,
    "augment.erase_area": (0.1, 0.2),
    "augment.erase_aspect": (0.5, 2.0),
    "augment.erase_aspect_form": "log_uniform",
    "augment.erase_fill": "noise",
    "augment.per_modality": True,
    "augment.mean": (0.1, 0.2, 0.3),
    "augment.std": (0.5, 0.5, 0.4),
}
"""For every key that a step reads a value that is not its default."""


@pytest.mark.parametrize("key", OTHERS)
def test_every_key_of_the_step_changes_its_program(usual, key):
    config = small()
    config.update_from_flattened_dict({key: OTHERS[key]})
    assert program(config) != usual


def test_every_key_of_l_reid_and_of_augmentation_is_tried():
    config = default.get_config()
    assert {f"{part}.{key}" for part in ("loss", "augment") for key in config[part]} <= OTHERS.keys()


@pytest.mark.parametrize("phase", ["pretrain", "adapt"])
def test_every_key_of_an_optimizer_reaches_it(monkeypatch, phase):
    config = default.get_config()
    told = {"weight_decay": 0.2, "decay_form": "decoupled", "decay_norms": True, "bias_rate": 2.0}
    config[phase].update(optimizer="sgd", learning_rate=0.5, warmup_epochs=3, epochs=8, **told)
    schedules, heard = listen(monkeypatch, "warmup_cosine"), listen(monkeypatch, "make_optimizer")
    build.build_optimizer(config[phase], iterations=10)
    assert schedules == [((0.5,), {"warmup_steps": 30, "total_steps": 80})]
    assert heard == [(("sgd", "warmup_cosine"), told)]
    schedules = listen(monkeypatch, "epochwise_cosine")
    config[phase].schedule = "epoch"
    build.build_optimizer(config[phase], iterations=10)
    assert schedules == [((0.5,), {"warmup_epochs": 3, "epochs": 8, "iterations": 10})]


def test_every_key_of_the_network_reaches_it():
    config = default.get_config()
    config.model.update(last_stride=2, fusion_neck="own", modalities=("R", "T"), application="scan")
    config.model.update(stem_relu=False)
    config.model.update(width=8, block="basic", remat="block", convolution="lax", dtype="bfloat16")
    network = build.build_model(config.model, num_classes=5)
    backbone = network.branch.backbone
    assert (network.fusion_neck, network.num_modalities, network.application) == ("own", 2, "scan")
    assert (backbone.last_stride, backbone.width, backbone.block) == (2, 8, "basic")
    assert not backbone.stem_relu
    assert (backbone.remat, backbone.form, backbone.dtype) == ("block", "lax", jnp.bfloat16)


# --- what the defaults and the choices build


@pytest.mark.parametrize(
    ("application", "form"), [("auto", "mixed"), ("loop", "mixed"), ("scan", "mixed"), ("vmap", "taps")]
)
def test_auto_on_a_processor_is_the_form_that_suits_how_branches_are_applied(application, form):
    config = small()
    config.model.update(convolution="auto", application=application)
    assert build.build_backbone(config.model).form == form


def test_the_default_network_is_resnet50():
    backbone = build.build_model(default.get_config().model, num_classes=10).branch.backbone
    assert (backbone.stage_sizes, backbone.dim, backbone.last_stride) == ((3, 4, 6, 3), 2048, 1)


@pytest.mark.parametrize("kind", ["vit", "clip"])
def test_the_default_transformer_is_b16(kind):
    config = default.get_config()
    config.model.update(backbone=kind, remat="block")
    backbone = build.build_model(config.model, num_classes=10).branch.backbone
    assert (backbone.kind, backbone.depth, backbone.dim, backbone.remat) == (kind, 12, 768, "block")
    assert backbone.grid((256, 128)) == (16, 8)


@pytest.mark.parametrize("decay_form", CHOICES["adapt.decay_form"])
@pytest.mark.parametrize("optimizer", CHOICES["adapt.optimizer"])
@pytest.mark.parametrize("phase", ["pretrain", "adapt"])
def test_every_choice_of_an_optimizer_can_be_built(phase, optimizer, decay_form):
    chosen = default.get_config()[phase]
    chosen.update(optimizer=optimizer, decay_form=decay_form)
    build.build_optimizer(chosen, iterations=2).init({"conv": {"kernel": 0.0}})


@pytest.mark.parametrize("epochs", [0, 1, 10, 11])
def test_a_phase_may_be_shorter_than_its_warm_up(monkeypatch, epochs):
    phase, schedules = default.get_config().adapt, listen(monkeypatch, "warmup_cosine")
    listen(monkeypatch, "make_optimizer")
    phase.update(epochs=epochs, warmup_epochs=10)
    build.build_optimizer(phase, iterations=2)
    assert schedules[0][1] == {"warmup_steps": 2 * min(epochs, 10), "total_steps": 2 * epochs}


def test_the_seed_draws_the_first_weights_and_the_key_of_the_steps():
    def drawn(seed: int):
        config = small()
        config.seed = seed
        _, create = step_and_create(config)
        state = as_arrays(jax.jit(create, compiler_options=QUICKLY)())
        return state.params["heads"]["fused"]["kernel"], state.key

    first, again, other = drawn(3), drawn(3), drawn(4)
    for part in (0, 1):
        np.testing.assert_array_equal(first[part], again[part])
        assert not np.array_equal(first[part], other[part])


@pytest.mark.parametrize("height", [8, 32])
def test_more_parts_than_the_last_maps_have_rows_are_refused_before_any_work(height):
    config = small()
    config.data.image_size = (height, 32)
    frame = frame_of(config)
    build.check_parts((Network(), Network(num_parts=1)), frame)
    if height == 32:
        build.check_parts((Network(num_parts=2),), frame)
        return
    with pytest.raises(
        ConfigError, match=r"is \(8, 32\), whose last maps have 1 rows, and .* 2 parts; .* least 16"
    ):
        build.check_parts((Network(num_parts=2),), frame)
    config.adapt.epochs = 0
    build.check_parts((Network(num_parts=2),), frame)
