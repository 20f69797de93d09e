"""MSVR310 → WMVeID863, full size: 256×128, ResNet-50, 32 + 32 triples a step.

    python -m man_jax.train --config configs/msvr310_to_wmveid863.py \
        --config.data.source.root=/data/MSVR310 --config.data.target.root=/data/WMVeID863

Published (Table 2; ImageNet weights, GTX 3090): mAP 55.32, R1 62.09, R5 72.71, R10 77.47; source only (Table 7)
32.92 / 35.53. Not run by us at full size: neither the data sets nor such a machine were at hand. The paper removed
what the two sets share; the copies of its authors are called `MSVR310_neo` and `MSVwild863_neo`. `:smoke` runs
every part of it with few steps of a tiny network.
"""

from ml_collections import ConfigDict

from man_jax.configs import default, variants


def get_config(variant: str = "") -> ConfigDict:
    """Make the experiment, as a variant of configs/variants.py or several joined by + change it."""
    config = default.get_config()
    config.experiment = "msvr310_to_wmveid863"
    config.data.source.update(name="msvr310", root="data/MSVR310")
    config.data.target.update(name="wmveid863", root="data/WMVeID863")
    config.adapt.num_clusters = 300
    config.adapt.update(epochs=40, iterations=400)
    return variants.vary(config, variant)
