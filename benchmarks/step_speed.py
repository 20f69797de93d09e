"""How fast a training step is, beside the same step in PyTorch: python -m benchmarks.step_speed [--config demo].

The step of pre-training: forward, backward and Adam of L_ReID on one batch, of the same networks and losses. PyTorch
has its images in channels_last; ours augments them in the step, PyTorch's are augmented before. Both have all cores, or
the accelerator, to themselves in turn. `--adaptation` times the step of the configuration's method on both domains
instead, which has no counterpart. The share of the peak is the arithmetic of matrix products and convolutions over the
rate of a large matrix product in the same run.
"""

import argparse
import importlib
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.turns import report, take_turns
from man_jax import methods
from man_jax.costs.arithmetic import count_flops
from man_jax.costs.chips import GIB, TERA
from man_jax.engine import pretraining
from man_jax.engine.build import build_frame, build_optimizer
from man_jax.engine.footprint import memory_of
from man_jax.engine.state import begin_phase, create_state
from man_jax.engine.step import make_step
from man_jax.frame import Batch, ByDomain, LabelSpace
from man_jax.sharding import make_mesh, put_batch, put_replicated

SIZES = {"full": (8675, 50), "demo": (1024, 128)}
"""Training triples and identities of each domain: as many as RGBNT100 has, and as the demonstration draws."""
INSTANCES, CAMERAS = 4, 8


def configured(
    config: str,
    variant: str,
    *,
    triples: int,
    modalities: str = "RNT",
    dtype: str = "float32",
    application: str = "auto",
) -> Any:
    """Give an experiment the batch, the modalities and the precision that are asked for."""
    experiment = importlib.import_module(f"man_jax.configs.{config}").get_config(variant)
    instances = min(INSTANCES, triples // 2)
    if triples < 2 or triples % instances:
        raise SystemExit(
            f"--triples {triples}: give 2, or a multiple of {INSTANCES}, as many as an identity has"
        )
    experiment.batch.update(identities=triples // instances, instances=instances)
    experiment.model.update(modalities=tuple(modalities), dtype=dtype, application=application)
    return experiment


def parser_of(description: str | None, *, triples: int) -> argparse.ArgumentParser:
    """Make the flags of `configured`, and those that all comparisons with PyTorch share."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="rgbnt100_to_wmveid863", help="a file of configs/, without .py")
    parser.add_argument("--variant", default="", help="as after the colon in CONFIG:VARIANT")
    parser.add_argument(
        "--triples", type=int, default=triples, help="of the batch, or of that of each domain"
    )
    parser.add_argument("--modalities", default="RNT", help="R is one branch, RNT three")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--application", default="auto", help="as config.model.application")
    parser.add_argument("--alone", action="store_true", help="without PyTorch's")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--in_a_row", type=int, default=5, help="runs of each turn, of which the first does not count"
    )
    return parser


def experiment_of(flags: argparse.Namespace) -> Any:
    """Give the experiment that the flags of `parser_of` ask for."""
    shape = {name: getattr(flags, name) for name in ("triples", "modalities", "dtype", "application")}
    return configured(flags.config, flags.variant, **shape)


def size_of(config: Any) -> tuple[int, int]:
    """Give the number of training triples, and of identities, that each domain is taken to have."""
    return SIZES["demo" if config.experiment.startswith("demo") else "full"]


def drawn_batch(config: Any, num_classes: int, seed: int) -> Batch:
    """Draw a batch of random images, as many of each class as the configuration says."""
    rng = np.random.default_rng(seed)
    size = config.batch.identities * config.batch.instances
    images = rng.integers(0, 256, (size, len(config.model.modalities), *config.data.image_size, 3), np.uint8)
    chosen = rng.choice(num_classes, config.batch.identities, replace=False)
    labels = np.repeat(chosen, config.batch.instances).astype(np.int32)
    return Batch(
        images=images,
        index=np.arange(size, dtype=np.int32),
        camera=np.arange(size, dtype=np.int32) % CAMERAS,
        labels=np.tile(labels[:, None], 2),  # some methods read a second column
        weight=np.ones(size, np.float32),
        present=np.ones(images.shape[:2], bool),
    )


class OurStep:
    """A compiled step and the state that it goes on with."""

    def __init__(self, config: Any, *, adaptation: bool):
        mesh = make_mesh()
        method = methods.find(config.method) if adaptation else pretraining
        phase = config.adapt if adaptation else config.pretrain
        optimizer = build_optimizer(phase, iterations=400)
        num_triples, num_identities = size_of(config)
        space = LabelSpace(
            num_identities, method.capacity(config, num_triples) if adaptation else num_identities
        )
        cameras = np.arange(num_triples, dtype=np.int32) % CAMERAS
        numbers = ByDomain(num_triples, num_triples)
        frame = build_frame(config, space, numbers, ByDomain(cameras, cameras))

        def start():
            state = create_state(frame, optimizer)
            return begin_phase(method.start(frame, state), optimizer) if adaptation else state

        self.state = put_replicated(jax.jit(start)(), mesh)
        alone = adaptation and config.adapt.protocol == "us"
        source = None if alone else put_batch(drawn_batch(config, num_identities, 0), mesh)
        target = put_batch(drawn_batch(config, num_identities, 1), mesh) if adaptation else None
        self.batches = (source, target)
        begun = time.perf_counter()
        traced = make_step(method, frame, optimizer, mesh).trace(self.state, *self.batches)
        self.flops = count_flops(traced.jaxpr)
        self.compiled = traced.lower().compile()
        self.seconds_to_compile = time.perf_counter() - begun
        self.memory = memory_of(self.compiled)

    def __call__(self) -> None:
        """Run one step and wait for it."""
        self.state, terms = self.compiled(self.state, *self.batches)
        jax.block_until_ready(terms)


def product_rate(dtype: str) -> float:
    """Measure the operations a second of a large matrix product in that precision."""
    size = 2048 if jax.default_backend() == "cpu" else 8192
    one, other = jax.random.normal(jax.random.key(0), (2, size, size), dtype)
    multiply = jax.jit(jnp.matmul)
    seconds = take_turns({"": lambda: jax.block_until_ready(multiply(one, other))}, rounds=10, warm=2)[""]
    return 2 * size**3 / median(seconds)


def main(flags: argparse.Namespace) -> None:
    """Time ours alone or beside PyTorch's, and report it."""
    config = experiment_of(flags)
    ours = OurStep(config, adaptation=flags.adaptation)
    ways: dict[str, Callable[[], None]] = {"ours": ours}
    if not (flags.adaptation or flags.alone):
        from benchmarks import torch_step

        num_identities = size_of(config)[1]
        batch = drawn_batch(config, num_identities, 0)
        call = (config, batch.images, batch.labels[:, 0])
        ways["PyTorch"] = torch_step.make_step(*call, num_classes=2 * num_identities)
        if flags.torch_compile:
            ways["PyTorch, torch.compile"] = torch_step.make_step(
                *call, num_classes=2 * num_identities, compiled=True
            )
    seconds = take_turns(ways, rounds=flags.rounds, warm=flags.warm, in_a_row=flags.in_a_row)
    rate = product_rate(flags.dtype)
    step = median(seconds["ours"])
    size = "x".join(map(str, config.data.image_size))
    each = f"{flags.triples} + {flags.triples}" if flags.adaptation else f"{flags.triples}"
    report(
        f"{'adaptation' if flags.adaptation else 'pre-training'} step, {flags.config} {flags.modalities}, {size}, "
        f"{each} triples, {flags.dtype}",
        seconds,
        ours="ours",
        application=flags.application,
        in_a_row=flags.in_a_row,
        triples_per_second=flags.triples * (2 if flags.adaptation else 1) / step,
        tflop=ours.flops / TERA,
        tflops_of_a_product=rate / TERA,
        share_of_it=ours.flops / step / rate,
        scratch_gib=ours.memory.scratch / GIB,
        held_gib=ours.memory.held / GIB,
        seconds_to_compile=ours.seconds_to_compile,
    )


if __name__ == "__main__":
    parser = parser_of(__doc__, triples=8)
    parser.add_argument("--adaptation", action="store_true", help="the method's step, without PyTorch's")
    parser.add_argument("--torch_compile", action="store_true", help="PyTorch's with torch.compile too")
    parser.add_argument("--warm", type=int, default=2, help="rounds before the ones that count")
    main(parser.parse_args())
