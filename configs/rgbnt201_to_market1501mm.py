"""RGBNT201 → Market1501-MM, full size: 256×128, ResNet-50, 32 + 32 triples a step.

    python -m man_jax.train --config configs/rgbnt201_to_market1501mm.py \
        --config.data.source.root=/data/RGBNT201 --config.data.target.root=/data/Market1501-MM

Published (Table 3; ImageNet weights, GTX 3090): mAP 23.68, R1 48.04, R5 65.53, R10 73.60; source only (Table 7)
5.64 / 17.55. Not run by us at full size: neither the data sets nor such a machine were at hand. The paper speaks of
141 training and 60 test identities of RGBNT201; the public split that we read has 171 and 30. `:smoke` runs every
part of it with few steps of a tiny network.
"""

from ml_collections import ConfigDict

from man_jax.configs import default, variants


def get_config(variant: str = "") -> ConfigDict:
    """Make the experiment, as a variant of configs/variants.py or several joined by + change it."""
    config = default.get_config()
    config.experiment = "rgbnt201_to_market1501mm"
    config.data.source.update(name="rgbnt201", root="data/RGBNT201")
    config.data.target.update(name="market1501mm", root="data/Market1501-MM")
    config.adapt.num_clusters = 500
    config.adapt.update(epochs=50, iterations=600)
    return variants.vary(config, variant)
