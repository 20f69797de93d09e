"""The demonstration: a drawn domain in RGBNT100's layout → a drawn one in WMVeID863's.

    make demo        # or, with the data drawn by `python -m data_pipelines.synthetic --out data/synthetic`:
    python -m man_jax.train --config configs/demo.py

All branches start from configs/demo_start.safetensors, which configs/demo_start.py learnt from other drawn vehicles, as
the paper's start from ImageNet's weights; `configs/demo.py:scratch` starts from random ones. Small images, a shallow
network and few steps, so that pre-training and adaptation take minutes on two cores; the classes, the losses and the
files are those of the full-size experiments.
"""

from ml_collections import ConfigDict

from man_jax.configs import default, variants


def get_config(variant: str = "") -> ConfigDict:
    """Make the experiment, as a variant of configs/variants.py or several joined by + change it."""
    config = default.get_config()
    config.experiment = "demo"
    config.data.source.update(name="rgbnt100", root="data/synthetic/RGBNT100")
    config.data.target.update(name="wmveid863", root="data/synthetic/WMVeID863")
    config.data.prepared = "data/synthetic/prepared"
    config.data.image_size = (32, 64)
    config.model.update(stage_sizes=(1, 1, 1, 1), width=16, pretrained="configs/demo_start.safetensors")
    config.augment.update(pad=3, erase=0.25)
    config.batch.update(identities=8, instances=4)
    config.pretrain.update(epochs=24, iterations=25, warmup_epochs=2, learning_rate=3e-3)
    config.adapt.update(epochs=6, iterations=50, warmup_epochs=1, num_clusters=128, kmeans_init=4)
    for method in ("cluster_contrast", "dhccn", "dssm", "idm", "lp", "o2cap", "rtmem", "secret", "three_c"):
        config[method].update(k1=6, k2=3)  # of the eight triples of an identity
        if "eps" in config[method]:
            config[method].eps = 0.4
    config.man.update(k1=6, k2=3)
    return variants.vary(config, variant)
