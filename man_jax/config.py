"""Check a configuration. The keys themselves, with units and sources, are defined in `configs/default.py`."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from data_pipelines.reading.records import MODALITIES
from man_jax import methods
from man_jax.keys import Key, key_problem
from man_jax.networks.backbone_traits import TRAITS

Config = Any
"""An ml_collections.ConfigDict or a part of one. Its content is known only at run time."""

CHOICES = {
    "data.storage": ("auto", "memory", "mapped", "shards"),
    "data.train_filter": ("bilinear", "bicubic"),
    "augment.erase_aspect_form": ("uniform", "log_uniform"),
    "augment.erase_fill": ("zero", "noise"),
    "model.backbone": tuple(TRAITS),
    "model.block": ("bottleneck", "basic"),
    "model.fusion_neck": ("shared", "own"),
    "model.convolution": ("auto", "lax", "taps", "mixed"),
    "model.application": ("auto", "vmap", "loop", "scan"),
    "model.dtype": ("float32", "bfloat16"),
    "model.remat": ("none", "block", "stage"),
    "model.vit.activation": ("auto", "gelu", "quick_gelu"),
    "pretrain.optimizer": ("adam", "sgd"),
    "pretrain.decay_form": ("coupled", "decoupled"),
    "pretrain.schedule": ("step", "epoch"),
    "pretrain.source_draw": ("turns", "by_images"),
    "adapt.optimizer": ("adam", "sgd"),
    "adapt.decay_form": ("coupled", "decoupled"),
    "adapt.schedule": ("step", "epoch"),
    "adapt.source_draw": ("turns", "by_images"),
    "adapt.protocol": ("uda", "us"),
    "adapt.features": ("auto", "memory", "mapped"),
    "adapt.kmeans_devices": ("one", "all"),
    "adapt.labels": ("pseudo", "truth"),
    "adapt.statistics": ("per_domain", "shared"),
    "adapt.sampling": ("all", "reliable"),
    "loss.triplet_form": ("hinge", "soft"),
    "loss.triplet_fused": ("normed", "pooled"),
}


class ConfigError(ValueError):
    """A configuration that cannot run; the message names the key, the value, the limit and the remedy.

    If several keys are wrong, it has a line for each.
    """


class WorkdirError(ValueError):
    """The work directory belongs to another configuration, or another process is at work in it."""


PATHS = (
    "data.source.root",
    "data.target.root",
    "data.prepared",
    "model.pretrained",
    "pretrain.init_from",
    "adapt.init_from",
)
"""Keys whose value is a path, or may be one."""


def flat(config: Config) -> dict[str, Any]:
    """List every key of a configuration with its value; the names of parts are joined by dots."""
    keys: dict[str, Any] = {}
    for name, value in config.items():
        if hasattr(value, "items"):
            keys |= {f"{name}.{below}": each for below, each in flat(value).items()}
        else:
            keys[name] = value
    return keys


POSITIVE = (
    "adapt.iterations",
    "adapt.kmeans_init",
    "adapt.num_clusters",
    "evaluation.batch_size",
    "evaluation.every",
    "evaluation.checkpoints",
    "model.norm_groups",
    "model.width",
    "model.vit.depth",
    "model.vit.heads",
    "model.vit.patch",
    "model.vit.stride",
    "model.vit.width",
)

ENDLESS = math.inf
RANGES = {
    "seed": (0, 2**32 - 1),  # of a larger number JAX silently takes the last 32 bits
    "data.workers": (0, ENDLESS),
    "augment.erase": (0, 1),
    "augment.flip": (0, 1),
    "augment.pad": (0, ENDLESS),
    "model.last_stride": (1, 2),
    "model.msinet.half_channels": (0, ENDLESS),
    "pretrain.epochs": (0, ENDLESS),
    "pretrain.iterations": (0, ENDLESS),
    "pretrain.bias_rate": (0, ENDLESS),
    "pretrain.learning_rate": (0, ENDLESS),
    "pretrain.warmup_epochs": (0, ENDLESS),
    "pretrain.weight_decay": (0, ENDLESS),
    "adapt.bias_rate": (0, ENDLESS),
    "adapt.epochs": (0, ENDLESS),
    "adapt.kmeans_iterations": (1, ENDLESS),
    "adapt.kmeans_tolerance": (0, ENDLESS),
    "adapt.learning_rate": (0, ENDLESS),
    "adapt.warmup_epochs": (0, ENDLESS),
    "adapt.weight_decay": (0, ENDLESS),
    "loss.smoothing": (0, 1),
    "loss.triplet_margin": (0, ENDLESS),
}
"""The least and the largest value of each key. The limits of a method's keys are in the method's file."""

Problem = tuple[str, str]
"""A key, or a part of the configuration, and what is wrong with it."""


def check_config(config: Config, *, num_devices: int) -> None:
    """Check the values of all keys before any data is read; ConfigError with one line for each wrong key."""
    broken: dict[str, str] = {}
    for problems in (
        _choice_problems(config),
        _range_problems(config),
        _method_problems(config),
        _tuple_problems(config),
        _modality_problems(config),
        _weight_problems(config),
        # These compute with values that the others check.
        _backbone_problems(config, broken),
        _need_problems(config, broken),
        _batch_problems(config, broken, num_devices),
    ):
        for key, message in problems:
            broken.setdefault(key, message)
    if broken:
        raise ConfigError("\n".join(broken.values()))


def _choice_problems(config: Config) -> Iterator[Problem]:
    for key, choices in CHOICES.items():
        if message := key_problem(key, _value(config, key), Key(None, "", choices)):
            yield key, message


def _range_problems(config: Config) -> Iterator[Problem]:
    for key in POSITIVE:
        if (value := _value(config, key)) < 1:
            yield key, f"config.{key} is {value}; it must be at least 1"
    for key, (least, largest) in RANGES.items():
        if message := key_problem(key, _value(config, key), Key(None, "", least=least, largest=largest)):
            yield key, message


def _method_problems(config: Config) -> Iterator[Problem]:
    if config.method not in methods.names():
        yield "method", f"config.method is {config.method!r}; choose one of {', '.join(methods.names())}"
    for method in methods.names():
        for name, key in methods.keys_of(method).items():
            full = f"{method}.{name}"
            if message := key_problem(full, _value(config, full), key):
                yield full, message


def _need_problems(config: Config, broken: Mapping[str, str]) -> Iterator[Problem]:
    """Find what the method needs of network and augmentation and does not get; cameras are a matter of the data."""
    if config.adapt.epochs == 0 or not broken.keys().isdisjoint(("method", "model.backbone")):
        return
    needs, backbone, augment = methods.needs_of(config.method), config.model.backbone, config.augment
    if "stages" in needs and not TRAITS[backbone].has_stages:
        with_stages = ", ".join(name for name, traits in TRAITS.items() if traits.has_stages)
        yield (
            "model.backbone",
            f"config.model.backbone is {backbone!r}, which gives no maps stage by stage, and the method "
            f"{config.method} reads them; choose {with_stages}, or another method",
        )
    elif problem := _stage_problem(config, broken):
        yield problem
    if "source" in needs and config.adapt.protocol == "us":
        yield (
            "adapt.protocol",
            f"config.adapt.protocol is 'us', which leaves the source out of adaptation, and the method "
            f"{config.method} learns from both domains; choose uda, or another method",
        )
    if "views" in needs and not (augment.flip or augment.pad or augment.erase):
        yield (
            "augment.flip",
            f"config.augment.flip, pad and erase are all 0, and the method {config.method} compares two views of a "
            f"triple, which would be the same; set one of the three above 0",
        )


LENGTHS = ("model.stage_sizes", "model.msinet.widths")
"""Keys that have an entry for each stage."""


def _stage_problem(config: Config, broken: Mapping[str, str]) -> Problem | None:
    """Find a stage that the method's key `stage` names and the backbone does not have."""
    key, last_stage = f"{config.method}.stage", TRAITS[config.model.backbone].last_stage
    if (
        "stage" not in methods.keys_of(config.method)
        or last_stage is None
        or not broken.keys().isdisjoint(LENGTHS)
    ):
        return None
    if (stage := _value(config, key)) > (last := last_stage(config.model)):
        return key, (
            f"config.{key} is {stage}, and the last stage of the {config.model.backbone} is {last}; choose 0 (the "
            f"stem) to {last}"
        )
    return None


def _tuple_problems(config: Config) -> Iterator[Problem]:
    size, stages, augment = tuple(config.data.image_size), tuple(config.model.stage_sizes), config.augment
    if len(size) != 2 or not _whole(size):
        yield (
            "data.image_size",
            f"config.data.image_size is {size}; give height and width in whole pixels, each at least 1, e.g. "
            f"(256, 128)",
        )
    if not stages or not _whole(stages):
        yield (
            "model.stage_sizes",
            f"config.model.stage_sizes is {stages}; give the blocks of each stage, whole numbers of at least 1, e.g. "
            f"(3, 4, 6, 3)",
        )
    for name, least in (("mean", -math.inf), ("std", 0.0)):
        values = tuple(augment[name])
        if len(values) != 3 or not _numbers(values) or not all(least < value < math.inf for value in values):
            yield (
                f"augment.{name}",
                f"config.augment.{name} is {values}; give a number for each of the three colour channels"
                f"{', each above 0' if name == 'std' else ''}",
            )
    for name, largest in (("erase_area", 1.0), ("erase_aspect", math.inf)):
        values = tuple(augment[name])
        if len(values) != 2 or not _numbers(values) or not 0 < values[0] <= values[1] <= largest:
            yield (
                f"augment.{name}",
                f"config.augment.{name} is {values}; give the smallest and the largest, both above 0"
                f"{' and at most 1' if name == 'erase_area' else ''}",
            )


def _modality_problems(config: Config) -> Iterator[Problem]:
    trained, tested = tuple(config.model.modalities), tuple(config.evaluation.modalities)
    allowed = MODALITIES
    if not _some_in_order(trained, MODALITIES):
        yield "model.modalities", _name_some("config.model.modalities", trained, MODALITIES)
    else:
        allowed = trained
    if tested and not _some_in_order(tested, allowed):
        yield "evaluation.modalities", _name_some("config.evaluation.modalities", tested, allowed)


def _backbone_problems(config: Config, broken: Mapping[str, str]) -> Iterator[Problem]:
    vit, size = config.model.vit, tuple(config.data.image_size)
    if "model.backbone" in broken:
        return
    traits = TRAITS[config.model.backbone]
    if config.model.remat == "stage" and not traits.has_stages:
        yield (
            "model.remat",
            f"config.model.remat is 'stage', and a {config.model.backbone} has no stages; choose none or block",
        )
    if traits.problems and "data.image_size" not in broken:
        yield from traits.problems(config.model, size)
    if traits.architecture != "transformer":
        return
    if broken.keys().isdisjoint(("model.vit.width", "model.vit.heads")) and vit.width % vit.heads:
        yield (
            "model.vit.width",
            f"config.model.vit.width is {vit.width}, which {vit.heads} heads (config.model.vit.heads) do not divide; "
            f"ViT-B has 768 and 12, ViT-S 384 and 6",
        )
    sized = broken.keys().isdisjoint(("data.image_size", "model.vit.patch", "model.vit.stride"))
    if sized and (vit.stride > vit.patch or vit.patch > min(size)):
        yield (
            "model.vit.patch",
            f"config.model.vit.patch is {vit.patch} and stride {vit.stride}, the images are {size[0]} × {size[1]}; a "
            f"patch must fit an image, and the stride be no longer than a patch",
        )


def _weight_problems(config: Config) -> Iterator[Problem]:
    """Find two sources of weights that exclude each other, and a run without any."""
    for key in ("pretrain.init_from", "model.pretrained"):
        if config.adapt.init_from and (value := _value(config, key)):
            yield (
                "adapt.init_from",
                f"config.adapt.init_from is {config.adapt.init_from!r} and config.{key} is {value!r}: all the weights "
                f"would be those of the adapted run; empty one of them",
            )
    if config.pretrain.init_from and config.model.pretrained:
        yield (
            "pretrain.init_from",
            f"config.pretrain.init_from is {config.pretrain.init_from!r} and config.model.pretrained is "
            f"{config.model.pretrained!r}: all the weights would be the run's and none the file's; empty one of them",
        )
    if config.pretrain.epochs == 0 and not config.pretrain.init_from and not config.adapt.init_from:
        yield (
            "pretrain.epochs",
            "config.pretrain.epochs is 0 and config.pretrain.init_from is empty: there would be no source "
            "model; give either",
        )


def _batch_problems(config: Config, broken: Mapping[str, str], num_devices: int) -> Iterator[Problem]:
    batch = config.batch
    if batch.identities < 2 or batch.instances < 2:
        yield (
            "batch",
            f"config.batch is {batch.identities} identities × {batch.instances} instances; a triplet needs at least "
            f"2 × 2",
        )
    sizes = {
        "batch": ("config.batch.identities × config.batch.instances", batch.identities * batch.instances),
        "evaluation.batch_size": ("config.evaluation.batch_size", config.evaluation.batch_size),
    }
    for key, (name, size) in sizes.items():
        if key not in broken and size % num_devices:
            below, above = size // num_devices * num_devices, math.ceil(size / num_devices) * num_devices
            remedy = f"{below} or {above}" if below else f"{above}"
            yield key, f"{name} = {size} is not divisible by {num_devices} devices; make it {remedy}"
    size, groups = batch.identities * batch.instances, config.model.norm_groups
    fits = {"batch", "model.norm_groups"} & broken.keys() or (not size % groups and size >= 2 * groups)
    if not fits and groups > 1:
        told = f"{groups}, but a batch has {size} triples, which must be so many equal parts of at least two"
        problem = f"config.model.norm_groups is {told}; set it to 1 or to the number of devices"
        yield "model.norm_groups", problem


def _whole(values: tuple[Any, ...]) -> bool:
    return all(isinstance(value, int) and value >= 1 for value in values)


def _numbers(values: tuple[Any, ...]) -> bool:
    return all(isinstance(value, int | float) for value in values)


def _some_in_order(value: tuple[Any, ...], allowed: tuple[str, ...]) -> bool:
    return bool(value) and list(value) == [each for each in allowed if each in value]


def _name_some(name: str, value: tuple[Any, ...], allowed: tuple[str, ...]) -> str:
    return f"{name} is {value!r}; name some of {allowed!r}, each once and in this order"


def _value(config: Config, key: str) -> Any:
    for name in key.split("."):
        config = config[name]
    return config


def check_counts(
    config: Config, *, num_identities: int, num_samples: int, num_target_identities: int, capacity: int
) -> int:
    """Check that a configuration fits the data; return how many target classes there is room for.

    `num_identities` are those of the source, `num_samples` and `num_target_identities` the training triples and the
    identities of the target. `capacity` is the largest number of clusters that the method makes of so many triples. The
    target's identities count only if they take the place of clusters (`adapt.labels=truth`).

    Raises:
        ConfigError: with a line for each limit that is passed.
    """
    batch, truth = config.batch.identities, config.adapt.labels == "truth"
    problems = []
    if batch > num_identities:
        problems.append(
            f"config.batch.identities is {batch}, but the source has {num_identities} training identities; lower it"
        )
    if truth and batch > num_target_identities:
        problems.append(
            f"config.batch.identities is {batch}, but the target has {num_target_identities} training identities, "
            f"which take the place of clusters (config.adapt.labels is 'truth'); lower it"
        )
    if not truth and capacity > num_samples:
        problems.append(
            f"config.adapt.num_clusters is {capacity}, but the target has {num_samples} training triples; choose "
            f"k well below that"
        )
    if not truth and batch > capacity:
        problems.append(
            f"config.batch.identities is {batch}, but there are {capacity} clusters at most "
            f"(config.adapt.num_clusters, for K-means); lower the one or raise the other"
        )
    if problems:
        raise ConfigError("\n".join(problems))
    return num_target_identities if truth else capacity
