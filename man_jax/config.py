"""What a configuration may say. The keys themselves, with units and sources, are born in `configs/default.py`."""

import math
import sys
from typing import Any

Config = Any
"""An ml_collections.ConfigDict or a part of one; what it holds is known at run time only."""

CHOICES = {
    "data.storage": ("auto", "memory", "mapped", "shards"),
    "data.train_filter": ("bilinear", "bicubic"),
    "model.backbone": ("resnet", "vit", "clip"),
    "model.block": ("bottleneck", "basic"),
    "model.fusion_neck": ("shared", "own"),
    "model.convolution": ("auto", "lax", "taps"),
    "model.application": ("auto", "vmap", "loop", "scan"),
    "model.dtype": ("float32", "bfloat16"),
    "model.remat": ("none", "block", "stage"),
    "model.vit.activation": ("auto", "gelu", "quick_gelu"),
    "pretrain.optimizer": ("adam", "sgd"),
    "pretrain.decay_form": ("coupled", "decoupled"),
    "adapt.optimizer": ("adam", "sgd"),
    "adapt.decay_form": ("coupled", "decoupled"),
    "adapt.protocol": ("uda", "us"),
    "adapt.labels": ("cpa", "fusion", "truth"),
    "adapt.rule": ("fusion_vote", "majority", "fusion_label"),
    "adapt.head_norm": ("matched", "unit"),
    "adapt.statistics": ("per_domain", "shared"),
    "adapt.sampling": ("all", "reliable"),
    "adapt.prototype_weights": ("softmax", "average"),
    "adapt.moving_form": ("batch_mean", "sequential"),
    "loss.triplet_form": ("hinge", "soft"),
    "loss.triplet_fused": ("normed", "pooled"),
    "loss.domain_pairs": ("ins_proto", "ins_ins", "proto_proto"),
    "loss.domain_inter": ("margin", "plain", "hinge"),
    "loss.domain_kernel": ("fixed", "multi"),
    "loss.modality_distance": ("squared", "cosine"),
    "loss.modality_reduction": ("sum", "max"),
    "loss.modality_pairing": ("different", "equal"),
}


MODALITIES = ("R", "N", "T")
"""RGB, near-infrared, thermal infrared: the images of a triple, in their order."""


class ConfigError(ValueError):
    """A configuration that cannot run; the message names the key, the value, the limit and the remedy."""


class WorkdirError(ValueError):
    """The work directory belongs to another configuration, or another process is at work in it."""


POSITIVE = (
    "adapt.iterations",
    "adapt.kmeans_init",
    "adapt.num_clusters",
    "evaluation.batch_size",
    "evaluation.every",
    "model.width",
    "model.vit.depth",
    "model.vit.heads",
    "model.vit.patch",
    "model.vit.stride",
    "model.vit.width",
)


ENDLESS = sys.float_info.max
RANGES = {
    "seed": (0, ENDLESS),
    "data.workers": (0, ENDLESS),
    "augment.erase": (0, 1),
    "augment.flip": (0, 1),
    "augment.pad": (0, ENDLESS),
    "model.last_stride": (1, 2),
    "pretrain.epochs": (0, ENDLESS),
    "pretrain.iterations": (0, ENDLESS),
    "pretrain.learning_rate": (0, ENDLESS),
    "pretrain.warmup_epochs": (0, ENDLESS),
    "pretrain.weight_decay": (0, ENDLESS),
    "adapt.epochs": (0, ENDLESS),
    "adapt.kmeans_iterations": (1, ENDLESS),
    "adapt.kmeans_tolerance": (0, ENDLESS),
    "adapt.learning_rate": (0, ENDLESS),
    "adapt.memory_size": (0, ENDLESS),
    "adapt.momentum": (0, 1),
    "adapt.temperature": (1e-6, ENDLESS),
    "adapt.threshold": (0, 1),
    "adapt.warmup_epochs": (0, ENDLESS),
    "adapt.weight_decay": (0, ENDLESS),
    "loss.alpha": (0, ENDLESS),
    "loss.beta": (0, ENDLESS),
    "loss.domain_margin": (0, ENDLESS),
    "loss.memory_weight": (0, ENDLESS),
    "loss.modality_margin": (0, ENDLESS),
    "loss.smoothing": (0, 1),
    "loss.triplet_margin": (0, ENDLESS),
}
"""Least and largest value; a score of Eq. 5, a probability and a momentum lie in [0, 1]. Below a τ of 1e-6
single precision tells none apart."""


def check_config(config: Config, *, num_devices: int) -> None:
    """Refuse what cannot work, before any data is read."""
    for key, choices in CHOICES.items():
        if (value := _value(config, key)) not in choices:
            raise ConfigError(f"config.{key} is {value!r}; choose one of {', '.join(choices)}")
    for key in POSITIVE:
        if (value := _value(config, key)) < 1:
            raise ConfigError(f"config.{key} is {value}; it must be at least 1")
    for key, (least, largest) in RANGES.items():
        if not least <= (value := _value(config, key)) <= largest:
            limits = (
                f"at least {least} and finite" if largest == ENDLESS else f"between {least} and {largest}"
            )
            raise ConfigError(f"config.{key} is {value}; it must be {limits}")
    _check_image_size(tuple(config.data.image_size))
    _check_augmentation(config.augment)
    _check_modalities("config.model.modalities", config.model.modalities, MODALITIES)
    if config.evaluation.modalities:
        _check_modalities(
            "config.evaluation.modalities", config.evaluation.modalities, tuple(config.model.modalities)
        )
    if config.batch.identities < 2 or config.batch.instances < 2:
        raise ConfigError(
            f"config.batch is {config.batch.identities} identities × {config.batch.instances} instances; a "
            f"triplet needs at least 2 × 2"
        )
    batch_size = config.batch.identities * config.batch.instances
    _check_divisible("config.batch.identities × config.batch.instances", batch_size, num_devices)
    _check_divisible("config.evaluation.batch_size", config.evaluation.batch_size, num_devices)
    if config.model.backbone != "resnet":
        _check_transformer(config)
    _check_beginning(config)


def _check_beginning(config: Config) -> None:
    """Refuse two beginnings, and none."""
    if config.adapt.init_from:
        for key in ("pretrain.init_from", "model.pretrained"):
            if value := _value(config, key):
                raise ConfigError(
                    f"config.adapt.init_from is {config.adapt.init_from!r} and config.{key} is {value!r}: all the "
                    f"weights would be those of the adapted run; empty one of them"
                )
    if config.pretrain.init_from and config.model.pretrained:
        raise ConfigError(
            f"config.pretrain.init_from is {config.pretrain.init_from!r} and config.model.pretrained is "
            f"{config.model.pretrained!r}: all the weights would be the run's and none the file's; empty one of them"
        )
    if config.pretrain.epochs == 0 and not config.pretrain.init_from and not config.adapt.init_from:
        raise ConfigError(
            "config.pretrain.epochs is 0 and config.pretrain.init_from is empty: there would be no source "
            "model; give either"
        )


def _check_image_size(size: tuple[Any, ...]) -> None:
    if len(size) != 2 or not all(isinstance(pixels, int) and pixels >= 1 for pixels in size):
        raise ConfigError(
            f"config.data.image_size is {size}; give height and width in whole pixels, each at least 1, e.g. (256, 128)"
        )


def _check_augmentation(augment: Config) -> None:
    for name, least in (("mean", -math.inf), ("std", 0.0)):
        if len(values := augment[name]) != 3 or not all(least < value < math.inf for value in values):
            raise ConfigError(
                f"config.augment.{name} is {tuple(values)}; give a number for each of the three colour channels"
                f"{', each above 0' if name == 'std' else ''}"
            )
    for name, largest in (("erase_area", 1.0), ("erase_aspect", math.inf)):
        if len(values := augment[name]) != 2 or not 0 < values[0] <= values[1] <= largest:
            raise ConfigError(
                f"config.augment.{name} is {tuple(values)}; give the smallest and the largest, both above 0"
                f"{' and at most 1' if name == 'erase_area' else ''}"
            )


def _check_transformer(config: Config) -> None:
    vit, size = config.model.vit, tuple(config.data.image_size)
    if vit.width % vit.heads:
        raise ConfigError(
            f"config.model.vit.width is {vit.width}, which {vit.heads} heads (config.model.vit.heads) do not divide; "
            f"ViT-B has 768 and 12, ViT-S 384 and 6"
        )
    if vit.stride > vit.patch or vit.patch > min(size):
        raise ConfigError(
            f"config.model.vit.patch is {vit.patch} and stride {vit.stride}, the images are {size[0]} × {size[1]}; a "
            f"patch must fit an image, and the stride be no longer than a patch"
        )
    if config.model.remat == "stage":
        raise ConfigError(
            f"config.model.remat is 'stage', and a {config.model.backbone} has no stages; choose none or block"
        )


def _value(config: Config, key: str) -> Any:
    for name in key.split("."):
        config = config[name]
    return config


def _check_modalities(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if not value or list(value) != [each for each in allowed if each in value]:
        raise ConfigError(
            f"{name} is {tuple(value)!r}; name some of {allowed!r}, each once and in this order"
        )


def _check_divisible(name: str, size: int, num_devices: int) -> None:
    if size % num_devices:
        below, above = size // num_devices * num_devices, math.ceil(size / num_devices) * num_devices
        remedy = f"{below} or {above}" if below else f"{above}"
        raise ConfigError(f"{name} = {size} is not divisible by {num_devices} devices; make it {remedy}")


def check_counts(
    config: Config, *, num_identities: int, num_samples: int, num_target_identities: int
) -> None:
    """Refuse a configuration that does not fit the data: source identities, target training triples and identities.

    The target's identities count only where they take the place of clusters (`adapt.labels=truth`).
    """
    if config.batch.identities > num_identities:
        raise ConfigError(
            f"config.batch.identities is {config.batch.identities}, but the source has {num_identities} "
            f"training identities; lower it"
        )
    if config.adapt.labels == "truth":
        if config.batch.identities > num_target_identities:
            raise ConfigError(
                f"config.batch.identities is {config.batch.identities}, but the target has {num_target_identities} "
                f"training identities, which take the place of clusters (config.adapt.labels is 'truth'); lower it"
            )
        return
    if config.adapt.num_clusters > num_samples:
        raise ConfigError(
            f"config.adapt.num_clusters is {config.adapt.num_clusters}, but the target has {num_samples} "
            f"training triples; choose k well below that"
        )
    if config.batch.identities > config.adapt.num_clusters:
        raise ConfigError(
            f"config.batch.identities is {config.batch.identities}, but there are "
            f"{config.adapt.num_clusters} clusters (config.adapt.num_clusters); lower the one or raise the other"
        )
