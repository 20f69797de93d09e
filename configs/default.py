"""Define every key of an experiment with its unit and its source. A method's keys are in man_jax/methods/NAME.py.

An experiment only overrides values.

"Released" is the authors' code. "Ours" is our choice where the paper says nothing; docs/READINGS.md has its reason.
"""

from typing import Any

from ml_collections import ConfigDict

from man_jax import methods

# A run that goes on may have other values of the following keys, and of no other: the result would be another.

PLACES = ("experiment", "trackers", "data.source.root", "data.target.root", "data.prepared")
"""Keys of places and names. Whether the data are the same is checked by their content."""

EFFORT = (
    "data.workers",
    "data.storage",
    "evaluation.batch_size",
    "evaluation.every",
    "evaluation.checkpoints",
    "model.application",
    "model.convolution",
    "model.remat",
    "man.memories",
    "adapt.kmeans_devices",
    "adapt.features",
)
"""Keys that trade memory for time, or say how often to evaluate and what to keep. The result is the same, but for
rounding."""

WEIGHTS = ("model.pretrained", "pretrain.init_from", "adapt.init_from")
"""Keys that name the weights from which a run began. They may name another place only if it has the same weights."""

BEFORE = {
    "0.1.0": {
        "man": {"head_norm": "unit"},
        "adapt": {"statistics": "shared"},
        "loss": {"triplet_fused": "pooled"},
    },
    "0.2.0": {"man": {"aligned": "normed", "across_epochs": "renewed"}},
}
"""By version: the values that runs of earlier versions had for keys which they did not know and whose default has
changed since."""

_TO_MAN = {
    "adapt": (
        "rule",
        "threshold",
        "head_norm",
        "prototype_weights",
        "temperature",
        "momentum",
        "moving_form",
        "memory_size",
    ),
    "loss": (
        "alpha",
        "beta",
        "memory_weight",
        "domain_pairs",
        "domain_margin",
        "domain_inter",
        "domain_kernel",
        "modality_margin",
        "modality_distance",
        "modality_reduction",
        "modality_pairing",
    ),
}
MOVED = {f"adapt.{name}": f"man.{name}" for name in _TO_MAN["adapt"]} | {
    f"loss.{name}": f"man.{name}" for name in _TO_MAN["loss"]
}
"""Keys that have a new name: old → new."""

GONE = {"data.in_memory": (True, False)}
"""Keys that do not exist any more, and the values with which a run does the same without them."""


def renamed(values: dict[str, Any]) -> dict[str, Any]:
    """Rename the keys of values that an older version wrote to the names that they have now."""
    found = {MOVED.get(key, key): value for key, value in values.items()}
    # There was one key with three values, and one of these values is for all methods.
    labels = found.get("adapt.labels")
    if labels in ("cpa", "fusion"):
        found |= {"adapt.labels": "pseudo", "man.labels": labels}
    return found


def written_now(key: str, value: object) -> str | None:
    """Tell how a key or a value of an older version is written now; None if it has not changed."""
    if key in MOVED:
        return f"config.{key} is called config.{MOVED[key]} now; its values are the same"
    if key == "adapt.labels" and value in ("cpa", "fusion"):
        return (
            f"config.adapt.labels={value} is config.man.labels={value} now; adapt.labels is pseudo or truth"
        )
    return None


def get_config() -> ConfigDict:
    """Make our reading of the paper's setting at full size; an experiment sets the names and roots of `config.data`."""
    config = ConfigDict()
    config.experiment = "unnamed"  # names the default work directory, runs/<experiment>
    config.trackers = (
        ""  # wandb | trackio | mlflow, joined by commas: where the figures go too, besides metrics.jsonl
    )
    config.seed = 0  # of all that is drawn: first weights, batches, augmentation, seedings of K-means
    config.data = _data()
    config.augment = _augment()
    config.model = _model()
    config.method = "man"  # a file of man_jax/methods/, which holds its keys, config.<method>
    for method in methods.names():
        keys = methods.keys_of(method)
        config[method] = ConfigDict({name: key.default for name, key in keys.items()})
    config.batch = ConfigDict(
        {
            "identities": 4,  # P of a batch of P × K triples per domain; released; paper: "batch 32"
            "instances": 8,  # K of a batch of P × K triples per domain; released; paper: "batch 32"
        }
    )
    config.pretrain = _pretrain()
    config.adapt = _adapt()
    config.loss = _loss()
    config.evaluation = _evaluation()
    return config.lock()


def _data() -> ConfigDict:
    domain = {
        "name": "",  # of a reader, e.g. rgbnt100; all: docs/DATASETS.md
        "root": "",  # the folder or table it reads
        "deep_range": (0, 65535),  # raw values that become 0 and 255, of images of more than 8 bits
    }
    return ConfigDict(
        {
            "source": dict(domain),
            "target": dict(domain),
            "prepared": "data/prepared",  # where images, resized once, are kept
            "image_size": (256, 128),  # H, W in pixels; paper §4.2
            "train_filter": "bilinear",  # bilinear | bicubic (released): of resizing images of train; others: bilinear
            "workers": 0,  # loader processes; 0 reads in threads
            "storage": "auto",  # memory | mapped | shards | auto: of training images, 288 KiB a triple at 256×128
        }
    )


def _evaluation() -> ConfigDict:
    return ConfigDict(
        {
            "batch_size": 64,  # triples at a time
            "every": 1,  # epochs of adaptation from one evaluation to the next
            "checkpoints": 2,  # the last ones that are kept, for evaluate --every_checkpoint; one ends each epoch
            "modalities": (),  # which images are there at test; (): all that were trained on; Table 9
        }
    )


def _augment() -> ConfigDict:
    return ConfigDict(
        {
            "flip": 0.5,  # probability of a mirror image; once a triple
            "pad": 10,  # pixels on every side before the crop; once a triple
            "erase": 0.5,  # probability of an erased rectangle; per modality
            "erase_area": (0.02, 1 / 3),  # of the rectangle: share of the image
            "erase_aspect": (0.3, 1 / 0.3),  # of the rectangle: height over width
            "erase_aspect_form": "uniform",  # uniform | log_uniform (released): how the aspect is drawn
            "erase_fill": "zero",  # zero: the mean | noise (released): standard normal, pixel by pixel
            "per_modality": False,  # flip and crop for each modality too; released: True
            "mean": (0.485, 0.456, 0.406),  # of images in [0, 1]; ImageNet (CLIP's weights have their own)
            "std": (0.229, 0.224, 0.225),  # of images in [0, 1]; ImageNet (CLIP's weights have their own)
        }
    )


def _model() -> ConfigDict:
    return ConfigDict(
        {
            "pretrained": "",  # .safetensors, .pth, .pt, .npz, or hf:OWNER/NAME@COMMIT[#FILE]; "": from scratch
            "backbone": "resnet",  # resnet | vit | clip (its visual encoder; Table 7) | msinet (Table 2)
            "modalities": ("R", "N", "T"),  # which images of a triple are trained on; Table 1
            "fusion_neck": "shared",  # shared: f_F = Cat(f_R, f_N, f_T) | own: a BNNeck on g_F (released)
            "block": "bottleneck",  # of a resnet; bottleneck: ResNet-50, -101, -152 | basic: ResNet-18, -34
            "stage_sizes": (3, 4, 6, 3),  # blocks a stage: ResNet-50
            "width": 64,  # channels of the stem; D = 32 · width (basic: 8 · width)
            "last_stride": 1,  # of the last stage; 1 as is customary in ReID
            "stem_relu": True,  # of a resnet: a ReLU before the first pool; released: False, as in MMT's code
            "vit": _vit(),
            "msinet": _msinet(),
            "convolution": "auto",  # lax | taps | mixed (lax of images) | auto: mixed on CPU, or taps if vmapped
            "application": "auto",  # vmap | loop | scan (least memory) | auto: of the branches; loop
            "dtype": "float32",  # float32 | bfloat16: of the branches' computation; all that is kept is float32
            "norm_groups": 1,  # parts of a batch with batch statistics of their own; the number of devices: no exchange
            "remat": "none",  # none | block | stage: what is recomputed in the backward pass; a vit has no stages
        }
    )


def _vit() -> ConfigDict:
    """Make the keys of the backbones vit and clip, with the values of ViT-B/16; S/16 has width 384 and 6 heads."""
    return ConfigDict(
        {
            "patch": 16,  # pixels
            "stride": 16,  # pixels; 12: overlapping patches
            "width": 768,  # D, unless there is a projection
            "depth": 12,  # blocks
            "heads": 12,  # of attention; they divide the width
            "projection": 0,  # D after CLIP's projection, 512 in ViT-B/16; 0: without
            "activation": "auto",  # gelu | quick_gelu | auto: quick_gelu in a clip, as OpenAI's; LAION's have gelu
        }
    )


def _msinet() -> ConfigDict:
    """Make the keys of the backbone msinet, with the values of the published architecture."""
    return ConfigDict(
        {
            "widths": (64, 256, 384, 512),  # channels of the stem and of each stage; the last is D
            # two a cell, four a stage: none | exc (exchange) | ag (gates) | cross_att
            "interactions": (
                *("ag", "ag", "exc", "ag"),
                *("cross_att", "ag", "ag", "none"),
                *("ag", "cross_att", "exc", "cross_att"),
            ),
            "half_channels": 0,  # of the features of the upper and lower half, besides; the public code: 128
        }
    )


def _pretrain() -> ConfigDict:
    return ConfigDict(
        {
            "init_from": "",  # a work directory whose pre-trained weights to start from, instead of pre-training
            "epochs": 120,  # of pre-training; released
            "iterations": 0,  # steps an epoch; 0: one pass over the training triples
            "source_draw": "turns",  # of identities: turns | by_images (released): in proportion to their images
            "optimizer": "adam",  # adam (paper §4.2) | sgd (released, with lr 0.009)
            "learning_rate": 3.5e-4,  # the highest, after the warm-up; paper §4.2
            "warmup_epochs": 10,  # linear from a hundredth of the rate; then a cosine to 0
            "schedule": "step",  # step | epoch: one rate an epoch, its cosine begun at epoch 0 (released)
            "weight_decay": 1e-4,  # of the optimiser; released
            "decay_form": "coupled",  # coupled: as PyTorch's Adam | decoupled: as AdamW
            "decay_norms": False,  # whether norms, necks and biases decay too; released: True
            "bias_rate": 1.0,  # the learning rate of biases over that of the rest; released: 2
        }
    )


def _adapt() -> ConfigDict:
    return ConfigDict(
        {
            "init_from": "",  # a work directory whose adapted weights to go on from, without pre-training
            "epochs": 40,  # of adaptation; 0: source only; released
            "iterations": 400,  # steps an epoch; released
            "optimizer": "adam",  # as in pre-training, begun anew; paper §4.2, released
            "learning_rate": 3.5e-4,  # as in pre-training; paper §4.2, released
            "warmup_epochs": 10,  # as in pre-training
            "schedule": "step",  # as in pre-training
            "weight_decay": 1e-4,  # as in pre-training; released
            "decay_form": "coupled",  # as in pre-training
            "decay_norms": False,  # as in pre-training
            "bias_rate": 1.0,  # as in pre-training
            "num_clusters": 300,  # k of K-means; released, per transfer
            "kmeans_init": 1,  # seedings of K-means, of which the best is kept; ours
            "kmeans_iterations": 100,  # of K-means, at most; ours
            "kmeans_devices": "one",  # one | all: which devices K-means divides the samples among
            "kmeans_tolerance": 1e-6,  # mean squared shift of the centres at which to stop; ours
            "features": "auto",  # memory | mapped (files in the work directory) | auto: of an epoch's features
            "protocol": "uda",  # uda | us: on both domains, or, after pre-training, on the target alone (§4.1.2)
            "labels": "pseudo",  # pseudo: as the method finds them | truth: the oracle of Table 4
            "sampling": "all",  # all | reliable: which target triples a batch may hold
            "source_draw": "turns",  # as in pre-training
            "statistics": "per_domain",  # per_domain | shared: running statistics of batch normalisation
        }
    )


def _loss() -> ConfigDict:
    """Make the keys of L_ReID (Eq. 21, 22), which pre-training and most methods use."""
    return ConfigDict(
        {
            "smoothing": 0.1,  # of the labels in the cross-entropy; released, customary in ReID
            "triplet_form": "hinge",  # hinge | soft (released)
            "triplet_margin": 0.3,  # released in pre-training, customary in ReID; the paper gives no value
            "triplet_fused": "normed",  # of the fusion, normed: f_F (released) | pooled: g_F, as of each modality
        }
    )
