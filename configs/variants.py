"""Turn an experiment into a variant, `CONFIG.py:NAME`, or into several at once, `CONFIG.py:NAME+NAME`.

Presets name one reading each for all that the paper leaves open; rows are the lines of the paper's tables and its
second protocol, backbones those of Table 7. All are overrides of keys and nothing else: there is one train step.

The order in which variants are named changes nothing but the name of the experiment. `smoke` is weakest, a preset
overrides it, and rows and backbones override both: `source_only+smoke` adapts for no epoch, and `released+clip`
normalises images as CLIP does. Only the lengths that a preset has for one source are weaker than those of `smoke`. A
row that sets keys of MAN sets the same keys of `man_released` too, where that is the method.

Two presets, or two rows or backbones, that want different values of one key (`vit+clip`, `ins_ins+proto_proto`) are
refused. Those that set different keys, or the same value (`baseline+no_pda`), are joined, even if one leaves another
without effect, as `source_only` does with every row of adaptation, and `oracle` with `no_cpa`.
"""

import ast
import difflib
from collections.abc import Mapping
from operator import attrgetter

from ml_collections import ConfigDict

from man_jax import methods
from man_jax.configs import default

PAPER: dict[str, object] = {}
"""Our reading of the paper, which is the default of configs/default.py; the name lets a command say so."""

RELEASED = {
    "data.train_filter": "bicubic",
    "method": "man_released",
    "augment.per_modality": True,
    "augment.erase_aspect_form": "log_uniform",
    "augment.erase_fill": "noise",
    "augment.mean": (0.5, 0.5, 0.5),
    "augment.std": (0.5, 0.5, 0.5),
    "model.fusion_neck": "own",
    "model.stem_relu": False,
    "pretrain.optimizer": "sgd",
    "pretrain.learning_rate": 0.009,
    "pretrain.schedule": "epoch",
    "pretrain.decay_norms": True,
    "pretrain.bias_rate": 2.0,
    "pretrain.source_draw": "by_images",
    "adapt.schedule": "epoch",
    "adapt.decay_norms": True,
    "adapt.bias_rate": 2.0,
    "adapt.source_draw": "by_images",
    "adapt.sampling": "reliable",
    "adapt.statistics": "shared",
    "adapt.kmeans_init": 10,
    "adapt.kmeans_iterations": 300,
}
"""What the authors' code does where it differs from the paper or the paper is silent. docs/READINGS.md has the list."""

PLUS = {
    "man.cameras": "standardised",
    "man.clusters": "linkage",
    "man.labels": "fusion",
    "man.head": "memory",
    "man.momentum": 0.1,
    "man.modal_weight": 0.0,
}
"""Beyond the paper: what closed most of the gap on the development transfer (docs/RESULTS.md).

PDA, MMA and XBM stay. The labels are those of one clustering of the fusion, with the cameras known, and only the fusion
is learnt from them.
"""

BY_SOURCE = {
    ("released", "msvr310"): {
        "pretrain.learning_rate": 0.001,
        "pretrain.warmup_epochs": 100,
        "pretrain.epochs": 1000,
    },
    ("released", "wmveid863"): {"pretrain.learning_rate": 0.001, "pretrain.warmup_epochs": 100},
    ("released", "rgbnt100"): {"pretrain.warmup_epochs": 100},
    ("released", "market1501mm"): {"pretrain.epochs": 121},
}
"""What a variant sets in addition for a source."""

BY_TARGET = {
    ("released", "wmveid863"): {"man_released.identity_weight": 0.0},
    ("released", "rgbnt100"): {
        "man_released.modality_distance": "squared",
        "man_released.target_columns": "later",
    },
    ("released", "market1501mm"): {
        "man_released.modality_distance": "squared",
        "man_released.target_columns": "learnt",
    },
    ("released", "rgbnt201"): {
        "man_released.target_columns": "learnt",
        "man_released.source_columns": "learnt",
    },
}
"""What a variant sets in addition for a target."""

ROWS = {
    "source_only": {"adapt.epochs": 0},
    "us": {"adapt.protocol": "us"},
    "oracle": {"adapt.labels": "truth"},
    "baseline": {"man.labels": "fusion", "man.alpha": 0.0, "man.beta": 0.0},
    "no_cpa": {"man.labels": "fusion"},
    "no_pda": {"man.alpha": 0.0},
    "no_mma": {"man.beta": 0.0},
    "ins_ins": {"man.domain_pairs": "ins_ins"},
    "proto_proto": {"man.domain_pairs": "proto_proto"},
    "average": {"man.prototype_weights": "average"},
}
"""§4.1.2, Tables 4, 5 and 6."""

BACKBONES = {
    "vit": {"model.backbone": "vit", "model.pretrained": ""},
    "clip": {
        "model.backbone": "clip",
        "model.pretrained": "",
        "augment.mean": (0.48145466, 0.4578275, 0.40821073),
        "augment.std": (0.26862954, 0.26130258, 0.27577711),
    },
    "msinet": {"model.backbone": "msinet", "model.pretrained": ""},
}
"""The other backbones of Table 7: ViT-B/16, and that of CLIP, which was trained on images with this normalisation; and
MSINet, on which Table 2 has IDM. An experiment's own weights are of a ResNet."""

STARTS = {"scratch": {"model.pretrained": ""}}
"""Other weights than the experiment's to start from."""

SMOKE = {
    "data.image_size": (32, 32),
    "augment.pad": 2,
    "model.stage_sizes": (1, 1, 1, 1),
    "model.width": 8,
    "model.application": "vmap",  # compiles in half of the time
    "model.pretrained": "",
    "model.vit.patch": 8,
    "model.vit.stride": 8,
    "model.vit.width": 24,
    "model.vit.depth": 2,
    "model.vit.heads": 2,
    "model.msinet.widths": (8, 16, 16, 16),
    "batch.identities": 4,
    "batch.instances": 2,
    "pretrain.epochs": 1,
    "pretrain.iterations": 2,
    "pretrain.warmup_epochs": 0,
    "adapt.epochs": 2,
    "adapt.iterations": 2,
    "adapt.warmup_epochs": 0,
    "adapt.num_clusters": 6,
    "evaluation.batch_size": 16,
}
"""Each part of the run, with few steps of a tiny network; the data are prepared and read in full."""

METHODS = {name: {"method": name} for name in methods.names()}
"""Every method by its name; the rows of Tables 4 to 6 are of MAN, in either form."""

PRESETS = {"paper": PAPER, "plus": PLUS, "released": RELEASED}
VARIANTS = {**PRESETS, **METHODS, **ROWS, **BACKBONES, **STARTS, "smoke": SMOKE}
STRENGTHS = ({"smoke": SMOKE}, PRESETS, METHODS | ROWS | BACKBONES | STARTS)
"""The order of strength: variants of a later group override those of an earlier one."""


def vary(config: ConfigDict, variant: str) -> ConfigDict:
    """Set the keys of each named variant, the weakest first; "" changes nothing.

    The names of the variants are added to that of the experiment, so that each has its own work directory.

    Raises:
        ValueError: a name is none of `VARIANTS` or occurs twice, or two variants contradict each other.
    """
    names = variant.split("+") if variant else []
    for place, name in enumerate(names):
        if name not in VARIANTS:
            near = difflib.get_close_matches(name, VARIANTS, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ValueError(f"variant {name!r} is none of {', '.join(VARIANTS)}; join several with +{hint}")
        if name in names[:place]:
            raise ValueError(f"variant {name!r} is named twice in {variant!r}; name it once")
    groups = [[name for name in names if name in group] for group in STRENGTHS]
    for keys in [_agreed(config, group, all_names=names) for group in groups]:
        config.update_from_flattened_dict(keys)
    if config.method == RELEASED["method"]:
        config.update_from_flattened_dict(_rows_of_released(names))
    config.experiment = "-".join([config.experiment, *names])
    return config


def _rows_of_released(names: list[str]) -> dict[str, object]:
    """Give the keys `man.KEY` that the named rows set, as keys of the method of the authors' code."""
    rows = {key: value for name in names for key, value in ROWS.get(name, {}).items()}
    return {
        f"{RELEASED['method']}.{key.removeprefix('man.')}": value
        for key, value in rows.items()
        if key.startswith("man.")
    }


def _agreed(config: ConfigDict, names: list[str], *, all_names: list[str]) -> dict[str, object]:
    """Collect what variants of one strength set together; ValueError if two of them contradict each other."""
    agreed: dict[str, tuple[str, object]] = {}
    for name in names:
        for key, value in _settings(config, name, alone=len(names) == 1, trial="smoke" in all_names).items():
            other, there = agreed.setdefault(key, (name, value))
            if there != value:
                raise ValueError(
                    f"variants {other!r} and {name!r} contradict each other: config.{key} is {there!r} in the one and "
                    f"{value!r} in the other; leave one of them out"
                )
    return {key: value for key, (_, value) in agreed.items()}


def _settings(config: ConfigDict, name: str, *, alone: bool, trial: bool) -> Mapping[str, object]:
    """Give the keys that a variant sets, some for one source or target; a trial stays as short as `smoke` makes it."""
    if name == "paper" and not alone:  # the one preset that keeps what the experiment has
        return {key: attrgetter(key)(config) for key in RELEASED | PLUS}
    data = config.data
    special = BY_SOURCE.get((name, data.source.name), {}) | BY_TARGET.get((name, data.target.name), {})
    return VARIANTS[name] | {key: value for key, value in special.items() if not (trial and key in SMOKE)}


def turn(config: ConfigDict, row: str) -> ConfigDict:
    """Copy the experiment and change it by a variant, or by another value of one key, written KEY=VALUE.

    Raises ValueError for a variant or a key that does not exist, or a value of another type than the key's.
    """
    config = config.copy_and_resolve_references()
    key, equals, value = row.partition("=")
    if not equals:
        return vary(config, row)
    if moved := default.written_now(key, value):
        raise ValueError(moved)
    try:
        kind = type(attrgetter(key)(config))
    except AttributeError:
        raise ValueError(f"there is no key {key} (all keys: configs/default.py)") from None
    try:
        parsed = value if kind is str else ast.literal_eval(value)
    except (SyntaxError, ValueError):
        parsed = None
    if kind is float and type(parsed) is int:
        parsed = float(parsed)
    if type(parsed) is not kind:
        raise ValueError(f"{value!r} is no value of {key}, which is of type {kind.__name__}")
    config.update_from_flattened_dict({key: parsed})
    return config
