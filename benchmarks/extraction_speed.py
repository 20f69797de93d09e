"""How fast features are extracted, beside PyTorch: python -m benchmarks.extraction_speed [--config demo].

Both networks are in evaluation mode and get a batch of triples: ours as bytes, which it normalises, PyTorch's as
numbers in channels_last. The time until the features are in the host's memory counts.
"""

import argparse

import jax
import numpy as np

from benchmarks.step_speed import configured, drawn_batch, size_of
from benchmarks.turns import report, take_turns
from man_jax.engine.build import build_model, build_normalization
from man_jax.engine.extract import make_extract
from man_jax.sharding import make_mesh, put_batch, put_replicated


def main(flags: argparse.Namespace) -> None:
    """Time ours beside PyTorch's, and report it."""
    config, mesh = configured(flags), make_mesh()
    num_classes = size_of(config)[1]
    model = build_model(config.model, num_classes=num_classes)
    start = jax.jit(lambda: model.init(jax.random.key(0), tuple(config.data.image_size)))
    variables = put_replicated(start(), mesh)
    extract = make_extract(model, build_normalization(config), mesh)
    images = drawn_batch(config, num_classes, 0).images

    def ours():
        return jax.device_get(extract(variables, put_batch(images, mesh)))

    ways = {"ours": ours}
    if not flags.alone:
        from benchmarks import torch_step

        numbers = (images / np.float32(255) - np.float32(0.45)) / np.float32(0.225)
        ways["PyTorch"] = torch_step.make_extraction(config, numbers, num_classes=num_classes)
    seconds = take_turns(ways, rounds=flags.rounds, warm=2)
    size = "x".join(map(str, config.data.image_size))
    subject = f"extraction, {flags.config} {flags.modalities}, {size}, {flags.triples} triples, {flags.dtype}"
    rate = flags.triples / sorted(seconds["ours"])[len(seconds["ours"]) // 2]
    report(subject, seconds, ours="ours", triples_per_second=rate)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="rgbnt100_to_wmveid863", help="a file of configs/, without .py")
    parser.add_argument("--variant", default="", help="as after the colon in CONFIG:VARIANT")
    parser.add_argument("--triples", type=int, default=16, help="of the batch")
    parser.add_argument("--modalities", default="RNT", help="R is one branch, RNT three")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--application", default="auto", help="as config.model.application")
    parser.add_argument("--alone", action="store_true", help="without PyTorch's")
    parser.add_argument("--rounds", type=int, default=5)
    main(parser.parse_args())
