"""Compare the formulas of LP with its authors' code: the largest differences under the same arrays.

    python -m benchmarks.parity_lp --code CHECKOUT

CHECKOUT is a clone of https://github.com/tengxiao14/Purification_ReID. It needs PyTorch: pip install -e ".[dev]".
"""

from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.authors_code import clone_given, difference, load, report
from man_jax.array_math import unit
from man_jax.losses.contrastive import info_nce
from man_jax.losses.distillation import feature_distillation
from man_jax.memories.centres import update_centres

CASES = 50
B, C, D = 12, 7, 24
SPACES = ("features", "features_up", "features_down")
PART_LOSS, DISTILLATION, MOMENTUM, TEMPERATURE = 0.1, 1.0, 0.1, 0.05


def comparisons(code: Path) -> Iterator[tuple[str, float]]:
    """Yield the name of a formula and the difference, case by case."""
    theirs = load(code / "Purification/models/cm.py")
    for case in range(CASES):
        yield from of_case(np.random.default_rng(case), theirs)


def ours(rows, centres, labels, taught=None):
    """Compute the loss of the whole and of both halves by our functions, from features of any length."""
    total = 0.0
    for space, weight in enumerate((1.0 - PART_LOSS, PART_LOSS, PART_LOSS)):
        own = unit(rows[space])
        value = info_nce(own, jnp.asarray(centres[space]), labels, temperature=TEMPERATURE)
        if taught is not None:
            value += DISTILLATION * feature_distillation(own, unit(jnp.asarray(taught[space])))
        total += weight * value
    return total


def of_case(rng: np.random.Generator, theirs) -> Iterator[tuple[str, float]]:
    """Compare the losses of teacher and student once, and the memories after them."""
    rows, taught = rng.normal(size=(2, 3, B, D))
    centres = np.asarray(unit(jnp.asarray(rng.normal(size=(3, C, D)))))
    labels = rng.integers(0, C, B)
    kind = {"temp": TEMPERATURE, "momentum": MOMENTUM, "lambda2": PART_LOSS}
    for name, memory, teacher in (
        ("loss of the teacher", theirs.ClusterMemory_teacher(D, C, **kind), ()),
        ("loss of the student", theirs.ClusterMemory(D, C, **kind, mu=DISTILLATION), torch.tensor(taught)),
    ):
        for space, values in zip(SPACES, centres, strict=True):
            setattr(memory, space, torch.tensor(values))
        apart = difference(
            lambda *x, m=memory, t=teacher: m(*x, *t, torch.tensor(labels), 3),
            lambda *x, t=teacher: ours(x, centres, jnp.asarray(labels), taught if len(t) else None),
            *rows,
        )
        yield name, apart
        moved = [
            update_centres(jnp.asarray(c), unit(jnp.asarray(x)), jnp.asarray(labels), momentum=MOMENTUM)
            for c, x in zip(centres, rows, strict=True)
        ]
        found = [getattr(memory, space).numpy() for space in SPACES]
        yield "memories after a step", float(np.abs(np.stack(found) - np.stack(moved)).max())


if __name__ == "__main__":
    report(comparisons(clone_given(__doc__ or "", "tengxiao14/Purification_ReID")))
