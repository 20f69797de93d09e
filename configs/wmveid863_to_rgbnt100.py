"""WMVeID863 → RGBNT100, full size: 256×128, ResNet-50, 32 + 32 triples a step.

    python -m man_jax.train --config configs/wmveid863_to_rgbnt100.py \
        --config.data.source.root=/data/WMVeID863 --config.data.target.root=/data/RGBNT100

Published (Table 2; ImageNet weights, GTX 3090): mAP 50.86, R1 89.15, R5 89.97, R10 90.44; source only (Table 7)
33.01 / 68.63, oracle (Table 4) 69.03 / 94.34. Not run by us at full size: neither the data sets nor such a machine
were at hand. `:smoke` runs every part of it with few steps of a tiny network.
"""

from ml_collections import ConfigDict

from man_jax.configs import default, variants


def get_config(variant: str = "") -> ConfigDict:
    """Make the experiment, as a variant of configs/variants.py or several joined by + change it."""
    config = default.get_config()
    config.experiment = "wmveid863_to_rgbnt100"
    config.data.source.update(name="wmveid863", root="data/WMVeID863")
    config.data.target.update(name="rgbnt100", root="data/RGBNT100")
    config.adapt.num_clusters = 100
    config.adapt.update(epochs=50, iterations=600)
    return variants.vary(config, variant)
