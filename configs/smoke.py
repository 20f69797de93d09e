"""The `:smoke` variant of every experiment: each part of the run, in about a minute on a CPU."""

from ml_collections import ConfigDict


def vary(config: ConfigDict, variant: str) -> ConfigDict:
    """The experiment itself for "", a tiny one for "smoke"; any other name is an error."""
    if variant == "":
        return config
    if variant != "smoke":
        raise ValueError(f"variant is {variant!r}; write CONFIG.py or CONFIG.py:smoke")
    config.experiment += "-smoke"
    config.data.image_size = (32, 32)
    config.augment.pad = 2
    config.model.update(stage_sizes=(1, 1, 1, 1), width=8, remat="none")
    config.model.vit.update(patch=8, stride=8, width=24, depth=2, heads=2)
    config.batch.update(identities=4, instances=2)
    config.pretrain.update(epochs=1, iterations=2, warmup_epochs=0)
    config.adapt.update(epochs=2, iterations=2, warmup_epochs=0, num_clusters=6)
    config.evaluation.batch_size = 16
    return config
