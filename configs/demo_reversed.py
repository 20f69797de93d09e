"""The demonstration in the other direction: the drawn domain in WMVeID863's layout → the one in RGBNT100's.

python -m data_pipelines.synthetic --out data/synthetic
python -m man_jax.train --config configs/demo_reversed.py
"""

from ml_collections import ConfigDict

from man_jax.configs import demo, variants


def get_config(variant: str = "") -> ConfigDict:
    """Make the experiment, as a variant of configs/variants.py or several joined by + change it."""
    config = demo.get_config()
    config.experiment = "demo_reversed"
    source = dict(config.data.source)
    config.data.source.update(config.data.target)
    config.data.target.update(source)
    return variants.vary(config, variant)
