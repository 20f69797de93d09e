"""RGBNT100 → WMVeID863, full size: 256×128, ResNet-50, 32 + 32 triples a step.

    python -m man_jax.train --config configs/rgbnt100_to_wmveid863.py \
        --config.data.source.root=/data/RGBNT100 --config.data.target.root=/data/WMVeID863

Published (Table 2; ImageNet weights, GTX 3090): mAP 53.91, R1 59.16, R5 71.98, R10 75.46; source only (Table 7)
32.45 / 34.43, oracle (Table 4) 62.84 / 68.86. Not run by us at full size: neither the data sets nor such a machine
were at hand. `:smoke` runs every part of it with few steps of a tiny network.
"""

from ml_collections import ConfigDict

from man_jax.configs import default, variants


def get_config(variant: str = "") -> ConfigDict:
    """Make the experiment, as a variant of configs/variants.py or several joined by + change it."""
    config = default.get_config()
    config.experiment = "rgbnt100_to_wmveid863"
    config.data.source.update(name="rgbnt100", root="data/RGBNT100")
    config.data.target.update(name="wmveid863", root="data/WMVeID863")
    config.adapt.num_clusters = 300
    config.adapt.update(epochs=40, iterations=400)
    return variants.vary(config, variant)
