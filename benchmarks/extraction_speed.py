"""How fast features are extracted, beside PyTorch: python -m benchmarks.extraction_speed [--config demo].

Both networks are in evaluation mode and get a batch of triples: ours as bytes, which it normalises, PyTorch's as
numbers in channels_last. The time until the features are in the host's memory counts.
"""

import argparse
from statistics import median

import jax

from benchmarks.step_speed import drawn_batch, experiment_of, parser_of, size_of
from benchmarks.turns import report, take_turns
from man_jax.engine.build import build_model, build_normalization
from man_jax.engine.extract import make_extract
from man_jax.sharding import make_mesh, put_batch, put_replicated


def main(flags: argparse.Namespace) -> None:
    """Time ours beside PyTorch's, and report it."""
    config, mesh = experiment_of(flags), make_mesh()
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

        ways["PyTorch"] = torch_step.make_extraction(config, images, num_classes=num_classes)
    seconds = take_turns(ways, rounds=flags.rounds, warm=2, in_a_row=flags.in_a_row)
    size = "x".join(map(str, config.data.image_size))
    subject = f"extraction, {flags.config} {flags.modalities}, {size}, {flags.triples} triples, {flags.dtype}"
    triples_per_second = flags.triples / median(seconds["ours"])
    report(subject, seconds, ours="ours", in_a_row=flags.in_a_row, triples_per_second=triples_per_second)


if __name__ == "__main__":
    main(parser_of(__doc__, triples=16).parse_args())
