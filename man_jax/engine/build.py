"""From the configuration to the parts of a run. Leaves take arrays and plain values, never the config."""

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from man_jax.config import Config
from man_jax.engine.augment import Augmentation, Normalization
from man_jax.engine.optimizer import make_optimizer, warmup_cosine
from man_jax.engine.state import TrainState, create_state
from man_jax.engine.step import Step, StepSettings, make_step
from man_jax.networks.resnet import ResNet
from man_jax.networks.three_branch import Backbone, Branch, ThreeBranch
from man_jax.networks.vit import ViT
from man_jax.objectives.total import Objective


def build_model(model: Config, *, num_classes: int) -> ThreeBranch:
    """The network; `auto` forms are those DECISIONS.md found best for the platform."""
    on_cpu = jax.default_backend() == "cpu"
    application = ("vmap" if on_cpu else "loop") if model.application == "auto" else model.application
    return ThreeBranch(
        Branch(build_backbone(model)),
        num_classes=num_classes,
        num_modalities=len(model.modalities),
        application=application,
        fusion_neck=model.fusion_neck,
    )


def build_backbone(model: Config) -> Backbone:
    """What turns an image into a feature, the same in every branch."""
    # None and not float32: the tests compute in float64.
    dtype = jnp.bfloat16 if model.dtype == "bfloat16" else None
    if model.backbone != "resnet":
        return ViT(kind=model.backbone, **model.vit, remat=model.remat, dtype=dtype)
    on_cpu = jax.default_backend() == "cpu"
    form = ("taps" if on_cpu else "lax") if model.convolution == "auto" else model.convolution
    return ResNet(
        stage_sizes=tuple(model.stage_sizes),
        width=model.width,
        last_stride=model.last_stride,
        form=form,
        remat=model.remat,
        block=model.block,
        dtype=dtype,
    )


def build_optimizer(phase: Config, *, iterations: int) -> optax.GradientTransformation:
    """The optimiser of a phase (`config.pretrain` or `config.adapt`) of `iterations` an epoch."""
    schedule = warmup_cosine(
        phase.learning_rate,
        warmup_steps=min(phase.warmup_epochs, phase.epochs) * iterations,
        total_steps=phase.epochs * iterations,
    )
    return make_optimizer(
        phase.optimizer,
        schedule,
        weight_decay=phase.weight_decay,
        decay_form=phase.decay_form,
        decay_norms=phase.decay_norms,
    )


def build_normalization(config: Config) -> Normalization:
    """Mean and deviation of the images."""
    return Normalization(tuple(config.augment.mean), tuple(config.augment.std))


def build_step(
    config: Config, model: ThreeBranch, optimizer: optax.GradientTransformation, mesh: Mesh
) -> Step:
    """The train step of either phase."""
    augmentation = Augmentation(**{name: config.augment[name] for name in Augmentation._fields})
    settings = StepSettings(
        augmentation,
        build_normalization(config),
        momentum=config.adapt.momentum,
        moving_form=config.adapt.moving_form,
        statistics=config.adapt.statistics,
    )
    return make_step(model, optimizer, Objective(**config.loss), settings, mesh)


def build_state(
    config: Config,
    model: ThreeBranch,
    optimizer: optax.GradientTransformation,
    *,
    num_source: int,
    num_target: int,
    num_samples: int,
) -> TrainState:
    """A new state; `num_samples` is the number of training triples of both domains together."""
    return create_state(
        model,
        optimizer,
        key=jax.random.key(config.seed),
        image_size=tuple(config.data.image_size),
        num_source=num_source,
        num_target=num_target,
        memory_size=config.adapt.memory_size or num_samples,
    )
