"""How far our 3C is from its authors' code: python -m benchmarks.parity_three_c --code FOLDER.

FOLDER is a checkout of the code that the paper names (github.com/stone5265/3C-reid). The same features, labels and
cameras go through its memory module and its clustering's Python functions and through ours, in float32 on the CPU.
Printed is the largest difference over the cases, relative to the largest number of theirs. The loop that its
clustering compiles with Cython is not run; tests/clustering/test_harmonic.py compares ours with plain loops.
"""

import argparse
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.parity import load_module, on_cpu, relative
from man_jax.clustering.harmonic import confidence_of, draw_seeds, euler_angles, without_peripheral
from man_jax.losses.camera_entropy import camera_weighted_contrast
from man_jax.memories.camera_centres import update_by_discrepancy

CASES = 20
NUM_CLUSTERS, NUM_CAMERAS, DIM, NUM_TRIPLES, BATCH = 30, 6, 64, 300, 32
TEMPERATURE, MOMENTUM = 0.05, 0.1


def drawn(seed: int) -> SimpleNamespace:
    """Draw centres, and a batch of eight clusters with four rows each."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.normal(size=(NUM_CLUSTERS, DIM)))
    labels = np.repeat(rng.permutation(NUM_CLUSTERS)[:8], 4)
    rows = unit(centres[labels] + 0.3 * rng.normal(size=(BATCH, DIM)))
    cameras = rng.integers(0, NUM_CAMERAS, BATCH)
    return SimpleNamespace(centres=centres, labels=labels, rows=rows, cameras=cameras)


def unit(rows: np.ndarray) -> np.ndarray:
    """Scale rows to unit length, in float32."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def memory_of_theirs(module: ModuleType, case: SimpleNamespace) -> list[np.ndarray]:
    """Compute the loss, its gradient and the moved centres by the authors' module."""
    memory = module.ClusterMemory(DIM, NUM_CLUSTERS, temp=TEMPERATURE, momentum=MOMENTUM, mode="hd_camera")
    memory.features = torch.from_numpy(case.centres.copy())
    rows = torch.from_numpy(case.rows).requires_grad_()
    loss = memory(rows, torch.from_numpy(case.labels), torch.from_numpy(case.cameras), reweight=True)
    loss.backward()
    assert rows.grad is not None
    return [loss.detach().numpy(), rows.grad.numpy(), memory.features.numpy()]


def memory_of_ours(case: SimpleNamespace) -> list[np.ndarray]:
    """Compute the same by our functions, with the scaling to unit length that theirs has before the memory."""
    known: Any = {"exists": jnp.ones(NUM_CLUSTERS, bool), "weight": jnp.ones(BATCH)}
    labels, cameras = jnp.asarray(case.labels, jnp.int32), jnp.asarray(case.cameras, jnp.int32)

    def loss(rows):
        rows = rows / jnp.linalg.norm(rows, axis=1, keepdims=True)
        return camera_weighted_contrast(rows, case.centres, labels, cameras, temperature=TEMPERATURE, **known)

    value, slope = jax.value_and_grad(loss)(jnp.asarray(case.rows))
    moved = update_by_discrepancy(case.centres, case.rows, labels, cameras, momentum=MOMENTUM, **known)
    return [*map(np.asarray, (value, slope, moved))]


def clusters_of_theirs(module: ModuleType, seeding: ModuleType, seed: int) -> list[np.ndarray]:
    """Compute confidence, seeds and the members that are not peripheral by the authors' functions."""
    features, distances, centres, labels, own = epoch(seed)
    confidence = 1 - module._hd_mat(features, centres, similarity="Euler Cosine")
    _, seeds = seeding._kmeans_plusplus(features, NUM_CLUSTERS, distances, SeededAlike(seed))
    inner = module._peripheral_object_detection(labels, own, NUM_CLUSTERS)
    return [confidence, seeds, inner]


def clusters_of_ours(seed: int) -> list[np.ndarray]:
    """Compute the same by our functions."""
    features, distances, centres, labels, own = epoch(seed)
    confidence = confidence_of(euler_angles(features), euler_angles(centres))
    seeds = draw_seeds(distances, NUM_CLUSTERS, np.random.default_rng(seed))
    return [confidence, seeds, without_peripheral(labels, own)]


def epoch(seed: int) -> tuple[np.ndarray, ...]:
    """Draw what is clustered: features, distances, centres, labels and discrepancies."""
    rng = np.random.default_rng(seed)
    features, centres = (unit(rng.normal(size=(number, DIM))) for number in (NUM_TRIPLES, NUM_CLUSTERS))
    distances = np.clip(1 - features @ features.T, 0, 1)
    labels = rng.integers(0, NUM_CLUSTERS, NUM_TRIPLES).astype(np.int32)
    return features, distances, centres, labels, rng.uniform(size=NUM_TRIPLES).astype(np.float32)


class SeededAlike:
    """The random numbers of our seeding, under the names that theirs calls."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.randint, self.uniform = rng.integers, rng.uniform


def main() -> None:
    """Compare all cases and print a line for each formula."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity_three_c", description=__doc__)
    parser.add_argument("--code", type=Path, required=True, help="a checkout of the authors' code")
    code = parser.parse_args().code
    absent = ("daal4py", "daal4py.sklearn", "daal4py.sklearn._utils", "daal4py.sklearn.cluster")
    absent += ("daal4py.sklearn.cluster._k_means_0_23", "_HDC_utils")
    for name in absent:  # they are imported there and take no part here
        sys.modules.setdefault(name, mock.MagicMock())
    memory = load_module(code / "CCC/models/cm.py")
    clustering = load_module(code / "CCC/HDC/HDC_fix2.py")
    seeding = load_module(code / "CCC/HDC/utils.py")
    names = ("loss with CIE", "its gradient", "centres moved by CHD", "confidence", "seeds", "inner members")
    differences = np.zeros((CASES, len(names)))
    with on_cpu():
        for seed in range(CASES):
            case = drawn(seed)
            mine = memory_of_ours(case) + clusters_of_ours(seed)
            other = memory_of_theirs(memory, case) + clusters_of_theirs(clustering, seeding, seed)
            differences[seed] = [relative(a, b) for a, b in zip(mine, other, strict=True)]
    for name, column in zip(names, differences.T, strict=True):
        print(f"{name:>20}: {column.max():.1e} at most over {CASES} cases")


if __name__ == "__main__":
    main()
