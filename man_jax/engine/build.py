"""Build the parts of a run from the configuration, so that formulas take arrays and plain values only."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Int32

from man_jax.config import Config, ConfigError, flat
from man_jax.engine.augment import Augmentation, Normalization, augment
from man_jax.engine.optimizer import epochwise_cosine, make_optimizer, warmup_cosine
from man_jax.frame import ByDomain, Frame, LabelSpace, Network
from man_jax.layout import WHOLE, Layout
from man_jax.networks import backbones
from man_jax.networks.backbone_traits import traits_of
from man_jax.networks.convolution import ConvolutionForm
from man_jax.networks.three_branch import Application, Backbone, Branch, ThreeBranch

CONVOLUTION_OF_ACCELERATORS: ConvolutionForm = "lax"
"""What `model.convolution=auto` means on GPU and TPU."""


def build_model(model: Config, *, num_classes: int) -> ThreeBranch:
    """Build the network; `auto` forms are those that docs/MEASUREMENTS.md found best for the platform."""
    return ThreeBranch(
        Branch(build_backbone(model)),
        num_classes=num_classes,
        num_modalities=len(model.modalities),
        application=application_of(model),
        fusion_neck=model.fusion_neck,
        norm_groups=model.norm_groups,
    )


def build_backbone(model: Config) -> Backbone:
    """Build the backbone, which turns an image into a feature and is the same in every branch.

    Raises:
        ValueError: there is no backbone of that name.
    """
    # None and not float32, because the tests compute in float64.
    dtype = jnp.bfloat16 if model.dtype == "bfloat16" else None
    values = flat({"model": model})
    keywords = {key.split(".")[-1]: values[key] for key in traits_of(model.backbone).keys}
    if keywords.get("convolution") == "auto":
        keywords["convolution"] = _best_convolution(application_of(model))
    return backbones.build_backbone(model.backbone, **keywords, remat=model.remat, dtype=dtype)


def application_of(model: Config) -> Application:
    """Say how the branches are applied; `auto` is one after the other."""
    return "loop" if model.application == "auto" else model.application


def _best_convolution(application: Application) -> ConvolutionForm:
    """Choose the form of convolutions for this platform and for how branches are applied."""
    if jax.default_backend() != "cpu":
        return CONVOLUTION_OF_ACCELERATORS
    return "taps" if application == "vmap" else "mixed"


def build_optimizer(phase: Config, *, iterations: int) -> optax.GradientTransformation:
    """Build the optimiser of a phase (`config.pretrain` or `config.adapt`) with `iterations` steps an epoch."""
    warmup_epochs = min(phase.warmup_epochs, phase.epochs)
    if phase.schedule == "epoch":
        schedule = epochwise_cosine(
            phase.learning_rate, warmup_epochs=warmup_epochs, epochs=phase.epochs, iterations=iterations
        )
    else:
        schedule = warmup_cosine(
            phase.learning_rate,
            warmup_steps=warmup_epochs * iterations,
            total_steps=phase.epochs * iterations,
        )
    return make_optimizer(
        phase.optimizer,
        schedule,
        weight_decay=phase.weight_decay,
        decay_form=phase.decay_form,
        decay_norms=phase.decay_norms,
        bias_rate=phase.bias_rate,
    )


def build_normalization(config: Config) -> Normalization:
    """Build the normalisation of images: mean and standard deviation."""
    return Normalization(tuple(config.augment.mean), tuple(config.augment.std))


def build_frame(
    config: Config,
    space: LabelSpace,
    num_triples: ByDomain[int],
    cameras: ByDomain[Int32[np.ndarray, " N"]] | None = None,
    *,
    layout: Layout = WHOLE,
) -> Frame:
    """Build what a method sees of a run; `num_triples` are the numbers of training triples of both domains.

    `cameras` are those of the triples. If it is None, all triples of a domain have one camera. `layout`: how large
    arrays of the method lie on the devices.
    """
    augmentation = Augmentation(**{name: config.augment[name] for name in Augmentation._fields})
    normalization = build_normalization(config)

    def view(key, images):
        return augment(key, images, augmentation, normalization)

    model = build_model(config.model, num_classes=space.num_classes)
    cameras = cameras or ByDomain(*(np.zeros(number, np.int32) for number in num_triples))
    return Frame(config, model, space, num_triples, view, cameras, layout)


def check_parts(networks: Sequence[Network], frame: Frame) -> None:
    """Check that the last maps have a row for each part that a method's networks ask for.

    Raises:
        ConfigError: they have fewer rows; the message says which images are high enough.
    """
    num_parts = max(network.num_parts for network in networks)
    if num_parts == 0 or frame.config.adapt.epochs == 0:
        return
    height, width = frame.config.data.image_size

    def last_maps(key):
        images = jnp.zeros((1, frame.model.num_modalities, height, width, 3))
        return frame.model.maps(frame.model.init(key, (height, width)), images, train=False)[0][-1]

    rows = jax.eval_shape(last_maps, jax.random.key(0)).shape[2]
    if rows < num_parts:
        raise ConfigError(
            f"config.data.image_size is {(height, width)}, whose last maps have {rows} rows, and the method "
            f"{frame.config.method} cuts them into {num_parts} parts; give images of a height of at least "
            f"{-(-num_parts * height // rows)}, or choose another method"
        )
