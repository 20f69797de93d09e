"""The weights that the demonstration starts from: a branch learns 2,048 drawn vehicles by their photographs.

    make start-weights      # the three commands of the recipe, under an hour on two cores:
    python -m data_pipelines.synthetic.corpus --out data/corpus
    python -m man_jax.train --config configs/demo_start.py
    python -m man_jax.export --run runs/demo_start --half --out configs/demo_start.safetensors

The paper starts from ImageNet's weights, which were learnt from photographs in visible light. These are learnt from
such photographs too, of other vehicles, cameras and sensors than those of the demonstration. All three branches start
from the same ones, as they do from ImageNet's. The run adapts for no epoch; the corpus is source and target.
"""

from ml_collections import ConfigDict

from man_jax.configs import default, demo, variants


def get_config(variant: str = "") -> ConfigDict:
    """Make the experiment, as a variant of configs/variants.py or several joined by + change it."""
    config = default.get_config()
    config.experiment = "demo_start"
    config.data.source.update(name="manifest", root="data/corpus")
    config.data.target.update(name="manifest", root="data/corpus")
    config.data.prepared = "data/corpus/prepared"
    whose = demo.get_config()  # the weights fit its network and its images
    config.data.image_size = whose.data.image_size
    config.model.update(modalities=("R",), stage_sizes=whose.model.stage_sizes, width=whose.model.width)
    config.augment.update(whose.augment)
    config.batch.update(identities=16, instances=4)
    config.pretrain.update(epochs=12, warmup_epochs=1, learning_rate=3e-3)
    config.adapt.epochs = 0
    return variants.vary(config, variant)
