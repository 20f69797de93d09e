"""The values of the method as their sources state them, written down once more and independently of configs/."""

import pytest
from flax.traverse_util import flatten_dict
from man_jax.configs.variants import turn

from man_jax.configs import default

PAPER = {
    "data.image_size": (256, 128),  # §4.2, as are the next eight; "batch 32" is P × K
    "batch.identities": 4,
    "batch.instances": 8,
    "pretrain.optimizer": "adam",
    "pretrain.learning_rate": 0.00035,
    "adapt.optimizer": "adam",
    "adapt.learning_rate": 0.00035,
    "man.momentum": 0.99,
    "man.domain_margin": 0.5,
    "man.modality_margin": 0.5,
    "man.alpha": 1.0,  # §4.5.4, as is the next
    "man.beta": 0.8,
    "man.temperature": 1.0,  # Eq. 7 has none
    "man.prototype_weights": "softmax",  # Eq. 7
    "adapt.labels": "pseudo",
    "adapt.protocol": "uda",
    "loss.triplet_form": "hinge",  # Eq. 22
    "man.domain_pairs": "ins_proto",  # Eq. 12
    "man.domain_inter": "margin",  # Eq. 15
    "man.modality_distance": "squared",  # Eq. 18
    "man.modality_pairing": "different",  # Eq. 18
    "model.backbone": "resnet",
    "model.stage_sizes": (3, 4, 6, 3),
    "model.modalities": ("R", "N", "T"),
    "model.fusion_neck": "shared",  # Eq. 1
}
RELEASED = {  # the authors' code, where the paper says nothing
    "pretrain.epochs": 120,
    "pretrain.weight_decay": 1e-4,
    "adapt.weight_decay": 1e-4,
    "adapt.warmup_epochs": 10,
    "man.rule": "fusion_vote",
    "man.domain_kernel": "fixed",
    "loss.triplet_fused": "normed",
    "man.memory_weight": 1.0,
    "model.last_stride": 1,
}
OF_RELEASED = {  # the method of the authors' code
    "man_released.labels": "cpa",
    "man_released.rule": "fusion_vote",
    "man_released.prototype_weights": "softmax",
    "man_released.temperature": 0.1,
    "man_released.momentum": 0.99,
    "man_released.target_columns": "centres",
    "man_released.source_columns": "means",
    "man_released.identity_weight": 1.0,
    "man_released.triplet_form": "soft",
    "man_released.memory_weight": 1.0,
    "man_released.alpha": 1.0,
    "man_released.beta": 0.8,
    "man_released.modality_margin": 0.5,
    "man_released.modality_distance": "cosine",
}
OURS = {  # docs/READINGS.md says why
    "man.threshold": 0.4,
    "adapt.sampling": "all",
    "man.head_norm": "matched",
    "adapt.statistics": "per_domain",
    "man.moving_form": "batch_mean",
    "man.memory_size": 0,
    "adapt.decay_form": "coupled",
    "adapt.decay_norms": False,
    "adapt.bias_rate": 1.0,
    "adapt.schedule": "step",
    "adapt.source_draw": "turns",
    "pretrain.decay_form": "coupled",
    "pretrain.decay_norms": False,
    "pretrain.bias_rate": 1.0,
    "pretrain.schedule": "step",
    "pretrain.source_draw": "turns",
    "pretrain.warmup_epochs": 10,
    "loss.smoothing": 0.1,
    "loss.triplet_margin": 0.3,
    "man.modality_reduction": "sum",
    "data.train_filter": "bilinear",
    "augment.flip": 0.5,
    "augment.pad": 10,
    "augment.erase": 0.5,
    "augment.erase_area": (0.02, 1 / 3),
    "augment.erase_aspect_form": "uniform",
    "augment.erase_fill": "zero",
    "augment.per_modality": False,
    "augment.mean": (0.485, 0.456, 0.406),  # ImageNet's
    "augment.std": (0.229, 0.224, 0.225),
    "model.dtype": "float32",
}
ROWS = {
    "paper": {},
    "released": {
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
        **{f"{phase}.schedule": "epoch" for phase in ("pretrain", "adapt")},
        **{f"{phase}.decay_norms": True for phase in ("pretrain", "adapt")},
        **{f"{phase}.bias_rate": 2.0 for phase in ("pretrain", "adapt")},
        **{f"{phase}.source_draw": "by_images" for phase in ("pretrain", "adapt")},
        "adapt.sampling": "reliable",
        "adapt.statistics": "shared",
        "adapt.kmeans_init": 10,
        "adapt.kmeans_iterations": 300,
    },
    "source_only": {"adapt.epochs": 0},
    "us": {"adapt.protocol": "us"},
    "oracle": {"adapt.labels": "truth"},
    "baseline": {"man.labels": "fusion", "man.alpha": 0.0, "man.beta": 0.0},  # L_ReID and XBM
    "no_cpa": {"man.labels": "fusion"},
    "no_pda": {"man.alpha": 0.0},
    "no_mma": {"man.beta": 0.0},
    "ins_ins": {"man.domain_pairs": "ins_ins"},
    "proto_proto": {"man.domain_pairs": "proto_proto"},
    "average": {"man.prototype_weights": "average"},
}
"""Presets and lines of Tables 4, 5, 6: what they change of the default, and nothing else."""


def values(config) -> dict[str, object]:
    """Every value by its whole key."""
    return flatten_dict(config.to_dict(), sep=".")


@pytest.mark.parametrize(("key", "value"), (PAPER | RELEASED | OF_RELEASED | OURS).items())
def test_the_default_is_what_its_source_states(key, value):
    assert values(default.get_config())[key] == value


def test_every_value_of_the_method_has_its_source():
    elsewhere = {"adapt.epochs", "adapt.iterations", "adapt.num_clusters"}  # of each transfer: test_config
    without = {"pretrain.init_from", "adapt.init_from", "pretrain.iterations", "augment.erase_aspect"}
    without |= {"adapt.features"}  # where they are kept changes nothing that is learnt
    keys = {
        k for k in values(default.get_config()) if k.split(".")[0] in ("pretrain", "adapt", "loss", "augment")
    }
    kmeans = {key for key in keys if key.startswith("adapt.kmeans")}
    assert keys - elsewhere - without - kmeans <= set(PAPER | RELEASED | OURS)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_changes_what_its_table_says_and_nothing_else(row):
    before, after = (values(config) for config in (default.get_config(), turn(default.get_config(), row)))
    del before["experiment"], after["experiment"]
    assert {key: value for key, value in after.items() if before[key] != value} == ROWS[row]
