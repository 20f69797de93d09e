"""What `model.remat` and `model.application` cost in time and memory: python -m benchmarks.application_cost.

Full size (three ResNet-50, 256×128) but 4 + 4 triples a step, so that it fits a small machine. One state goes through
the steps of all the forms in turn, so that whatever else the machine does meets them all alike; the time of a form
is the median over the rounds of its time over the first form's. What XLA needs is its own analysis; what automatic
differentiation keeps between the passes depends on no platform, and is that of one triple.
"""

import argparse
import time
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from man_jax import methods
from man_jax.configs import rgbnt100_to_wmveid863
from man_jax.engine.build import build_frame, build_optimizer
from man_jax.engine.state import begin_phase, create_state
from man_jax.engine.step import make_step
from man_jax.frame import Batch, ByDomain, Frame, LabelSpace
from man_jax.sharding import make_mesh, put_batch, put_replicated

FORMS = [(application, remat) for application in ("vmap", "scan") for remat in ("none", "block", "stage")]
SPACE = LabelSpace(50, 300)
NUM_TRIPLES = ByDomain(1000, 1000)
BATCH = 4
GIB, MIB = 2**30, 2**20


def configured(application: str, remat: str) -> Any:
    """Give the experiment batches of 2 × 2 and a form."""
    config = rgbnt100_to_wmveid863.get_config()
    config.model.update(application=application, remat=remat)
    config.batch.update(identities=2, instances=2)
    return config


def frame_of(config: Any) -> Frame:
    """Build what a method sees of a run with this configuration."""
    return build_frame(config, SPACE, NUM_TRIPLES)


def kept_for_a_triple(config: Any) -> float:
    """Count the MiB that the backward pass of the branches keeps of the forward pass for one triple more."""
    model, size = frame_of(config).model, tuple(config.data.image_size)
    variables = jax.eval_shape(lambda key: model.init(key, size), jax.random.key(0))

    def kept(batch: int) -> int:
        def backward(params, rest, images):
            def pooled(params):
                return model.features({**rest, "params": params}, images, train=True)[0].pooled

            return jax.vjp(pooled, params)[1]

        images = jax.ShapeDtypeStruct((batch, 3, *size, 3), jnp.float32)
        rest = {name: part for name, part in variables.items() if name != "params"}
        leaves = jax.tree.leaves(jax.eval_shape(backward, variables["params"], rest, images))
        return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)

    return (kept(3) - kept(2)) / MIB


def drawn_batch(mesh: Any, num_classes: int, image_size: tuple[int, int], seed: int) -> Batch:
    """Draw a batch of random images, two of each of its classes."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (BATCH, 3, *image_size, 3), np.uint8)
    labels = np.repeat(rng.integers(0, num_classes, BATCH // 2), 2).astype(np.int32)
    batch = Batch(
        images=images,
        index=np.arange(BATCH, dtype=np.int32),
        camera=np.zeros(BATCH, np.int32),
        labels=labels[:, None],
        weight=np.ones(BATCH, np.float32),
        present=np.ones(images.shape[:2], bool),
    )
    return put_batch(batch, mesh)


def main(forms: list[tuple[str, str]], rounds: int) -> None:
    """Compile every form, then time them in turn; a round before the first is not counted."""
    mesh, config = make_mesh(), configured(*forms[0])
    size = tuple(config.data.image_size)
    optimizer = build_optimizer(config.adapt, iterations=config.adapt.iterations)
    method, frame = methods.find(config.method), frame_of(config)
    state = jax.jit(lambda: begin_phase(method.start(frame, create_state(frame, optimizer)), optimizer))()
    state = put_replicated(state, mesh)
    batches = [drawn_batch(mesh, num_classes, size, seed) for seed, num_classes in enumerate(SPACE)]
    steps, scratch = {}, {}
    for form in forms:
        step = make_step(method, frame_of(configured(*form)), optimizer, mesh)
        steps[form] = step.lower(state, *batches).compile()
        scratch[form] = steps[form].memory_analysis().temp_size_in_bytes / GIB
        print(f"compiled {form}", flush=True)
    times: dict[tuple[str, str], list[float]] = {form: [] for form in forms}
    for _ in range(rounds + 1):
        for form in forms:
            start = time.perf_counter()
            state, _ = jax.block_until_ready(steps[form](state, *batches))
            times[form].append(time.perf_counter() - start)
    first = times[forms[0]][1:]
    print(
        "| application | remat | kept, MiB a triple | scratch at 4 + 4, GiB | time over the first's | s, median |"
    )
    print("|---|---|---:|---:|---:|---:|")
    for form in forms:
        own = times[form][1:]
        ratio = median(mine / its for mine, its in zip(own, first, strict=True))
        kept = kept_for_a_triple(configured(*form))
        print(
            f"| {form[0]} | {form[1]} | {kept:.1f} | {scratch[form]:.2f} | {ratio:.2f} | {median(own):.1f} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="vmap or scan; both if not given")
    parser.add_argument("--rounds", type=int, default=5)
    flags = parser.parse_args()
    main([form for form in FORMS if flags.only in ("", form[0])], flags.rounds)
