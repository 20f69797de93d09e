"""Compare the formulas of SECRET with its authors' code: the largest differences under the same arrays.

    python -m benchmarks.parity_secret --code CHECKOUT

CHECKOUT is a clone of https://github.com/LunarShen/SECRET. It needs PyTorch: pip install -e ".[dev]".
"""

from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.authors_code import clone_given, difference, load, report
from man_jax.clustering.overlap import keep_overlapping
from man_jax.losses.identity import smoothed_cross_entropy
from man_jax.losses.soft import soft_cross_entropy, soft_triplet, softmax_triplet

CASES = 50
B, C, D, N = 16, 7, 24, 300


def comparisons(code: Path) -> Iterator[tuple[str, float]]:
    """Yield the name of a formula and the difference, case by case."""
    refine = load(code / "secret/cluster/RefineCluster.py").RefineClusterProcess
    entropy, triplet = (load(code / f"secret/loss/{name}.py") for name in ("crossentropy", "triplet"))
    for case in range(CASES):
        yield from of_case(np.random.default_rng(case), refine, entropy, triplet)


def of_case(rng: np.random.Generator, refine, entropy, triplet) -> Iterator[tuple[str, float]]:
    """Compare each formula once, with drawn arrays."""
    labels, reference = rng.integers(-1, 9, (2, N))
    reference = np.where(rng.random(N) < 0.6, labels, reference)
    kept, theirs = keep_overlapping(labels, reference, share=0.4), refine(reference, labels, 0.4)
    yield "number of samples on which the refinements disagree", float(((kept >= 0) != (theirs >= 0)).sum())
    logits, answers = 3 * rng.normal(size=(2, B, C))
    ids, few = rng.integers(0, C, B), np.repeat(rng.permutation(C)[:4], B // 4)
    apart = difference(
        lambda x: entropy.CrossEntropyLabelSmooth(C)(x, torch.tensor(ids)),
        lambda x: jnp.mean(smoothed_cross_entropy(x, jnp.asarray(ids))),
        logits,
    )
    yield "cross-entropy with smoothing", apart
    apart = difference(
        lambda x: entropy.SoftEntropy()(x, torch.tensor(answers)),
        lambda x: soft_cross_entropy(x, jnp.asarray(answers)),
        logits,
    )
    yield "soft cross-entropy", apart
    rows, others = rng.normal(size=(2, B, D))
    apart = difference(
        lambda x: triplet.SoftTripletLoss(margin=0.0)(x, x, torch.tensor(few)),
        lambda x: softmax_triplet(x, jnp.asarray(few)),
        rows,
    )
    yield "softmax triplet", apart
    apart = difference(
        lambda x: triplet.SoftTripletLoss(margin=None)(x, torch.tensor(others), torch.tensor(few)),
        lambda x: soft_triplet(x, jnp.asarray(others), jnp.asarray(few)),
        rows,
    )
    yield "soft triplet", apart


if __name__ == "__main__":
    report(comparisons(clone_given(__doc__ or "", "LunarShen/SECRET")))
