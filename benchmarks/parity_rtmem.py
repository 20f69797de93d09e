"""How far our RTMem is from its public code on the same arrays: python -m benchmarks.parity_rtmem --code FOLDER.

FOLDER is a checkout of github.com/PRIS-CV/RTMem. Prints the largest difference of each loss, of its gradient by the
features and of the memory after the step; the instance memory of that code computes in single precision.
"""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.public_code import Case, code_folder, definitions, report
from man_jax.array_math import unit
from man_jax.losses.contrastive import info_nce
from man_jax.losses.instance_contrast import instance_nce
from man_jax.memories.centres import update_centres
from tests.oracles.cases import unit_normal

CASES = 200
N, K, D = 40, 6, 16
P, INSTANCES = 3, 4
REPLACED = {"momentum": 0.0, "form": "sequential"}


def compare(code: Path, seed: int) -> Case:
    """Compute both losses and both memories of ours and of the public code for the arrays of a seed."""
    return {**of_clusters(code, seed), **of_samples(code, seed)}


def of_clusters(code: Path, seed: int) -> Case:
    """Compare the memory of clusters: its loss, the slope of that, and its samples after the step."""
    names = ("CM", "cm", "ClusterMemory")
    theirs = definitions(code / "RTMem/models/cm.py", *names).ClusterMemory(D, K)
    rng = np.random.default_rng(seed)
    values, rows = unit_normal(rng, K, D), rng.normal(size=(P * INSTANCES, D))
    labels = np.repeat(rng.permutation(K)[:P], INSTANCES)[rng.permutation(P * INSTANCES)]
    theirs.features = torch.tensor(values)
    inputs = torch.tensor(rows, requires_grad=True)
    expected = theirs(inputs, torch.tensor(labels), None)
    expected.backward()

    def loss(x):
        return info_nce(unit(x), jnp.asarray(values), labels)

    moved = update_centres(jnp.asarray(values), unit(jnp.asarray(rows)), labels, **REPLACED)
    return {
        "clusters: loss": (loss(jnp.asarray(rows)), expected),
        "clusters: gradient": (jax.grad(loss)(jnp.asarray(rows)), inputs.grad),
        "clusters: memory after the step": (moved, theirs.features),
    }


def of_samples(code: Path, seed: int) -> Case:
    """Compare the memory of single samples, of which some are in no cluster."""
    names = ("HM", "hm", "HybridMemory")
    theirs = definitions(code / "RTMem/models/cm.py", *names).HybridMemory(D, N)
    rng = np.random.default_rng(seed)
    values = unit_normal(rng, N, D).astype(np.float32)
    clusters = np.concatenate([np.arange(K).repeat(4), np.full(N - 4 * K, -1)])
    index = rng.permutation(4 * K)[: P * INSTANCES]
    outside = np.flatnonzero(clusters < 0)
    alone = clusters.copy()
    alone[outside] = K + np.arange(len(outside))  # that code gives each a class of its own
    theirs.features, theirs.labels = torch.tensor(values), torch.tensor(alone)
    # Near their samples, as features in training are; far away, the 1e-6 that the code adds to a share is seen.
    rows = values[index] + 0.15 * rng.normal(size=(len(index), D)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    inputs = torch.tensor(rows, requires_grad=True)
    expected = theirs(inputs, torch.tensor(index), None)
    expected.backward()
    known = (jnp.asarray(values), jnp.asarray(clusters), jnp.asarray(clusters[index]))
    moved = update_centres(jnp.asarray(values), jnp.asarray(rows), index, **REPLACED)
    return {
        "samples: loss": (instance_nce(jnp.asarray(rows), *known), expected),
        "samples: gradient": (jax.grad(instance_nce)(jnp.asarray(rows), *known), inputs.grad),
        "samples: memory after the step": (moved, theirs.features),
    }


if __name__ == "__main__":
    folder = code_folder(__doc__)
    torch.Tensor.cuda = lambda tensor, *_: tensor  # that code moves its arrays to a GPU
    with jax.enable_x64(True):
        report(partial(compare, folder), range(CASES))
