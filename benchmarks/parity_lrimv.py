"""How far our LRIMV is from its authors' code: python -m benchmarks.parity_lrimv --code FOLDER.

FOLDER is a checkout of the code that the paper names (github.com/lhf12278/LRIMV). The same features, clusters and
cameras go through its functions and through ours, in float32 on the CPU. Of losses, the largest difference over the
cases is printed, relative to the largest number of theirs; of relations and matches between cameras, how many of all
cases are the same. A relation that hangs on the nearest pair of two cameras alone is left out, because their code does
not see it.
"""

import argparse
import sys
import warnings
from pathlib import Path
from types import ModuleType
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.parity import load_module, relative
from man_jax.clustering.camera_relations import infer_matches, near_pairs
from man_jax.losses.identity import batch_hard_triplet
from man_jax.losses.view_agreement import feature_divergence

CASES = 100
NUM_CLUSTERS, DIM, NUM_TRIPLES, BATCH = 12, 16, 60, 32
THRESHOLD = 0.115
ABSENT = (
    *("timm", "timm.data", "timm.data.random_erasing", "torchvision", "torchvision.transforms"),
    *("utils", "utils.meter", "utils.metrics", "datasets", "datasets.bases", "datasets.sampler"),
    *("datasets.make_dataloader", "model", "model.make_model", "loss", "loss.triplet_loss"),
)
"""What the other code imports and the functions that are compared do not use."""


def losses(processor: ModuleType, triplets: ModuleType, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pair ours and theirs: the triplet, the divergence, and the gradient of their sum by the features."""
    rng = np.random.default_rng(seed)
    rows, others = (rng.normal(size=(BATCH, DIM)).astype(np.float32) for _ in range(2))
    labels = np.repeat(np.arange(BATCH // 4), 4)
    theirs = torch.from_numpy(rows).requires_grad_()
    triplet = triplets.TripletLoss()(theirs, torch.from_numpy(labels))[0]
    divergence = processor.kl_loss(theirs, torch.from_numpy(others))
    (triplet + divergence).backward()
    assert theirs.grad is not None

    def ours(rows):
        weight = jnp.ones(BATCH)
        terms = (
            batch_hard_triplet(rows, jnp.asarray(labels), form="soft"),
            feature_divergence(rows, jnp.asarray(others), weight=weight),
        )
        return sum(terms), terms

    (_, terms), slope = jax.value_and_grad(ours, has_aux=True)(jnp.asarray(rows))
    values = [each.detach().numpy() for each in (triplet, divergence)]
    return [*zip(map(np.asarray, (*terms, slope)), (*values, theirs.grad.numpy()), strict=True)]


def relations(processor: ModuleType, seed: int) -> tuple[bool, bool]:
    """Tell whether the relations of two cameras are the same, and the matches that are inferred from theirs."""
    rng = np.random.default_rng(seed)
    clusters = rng.integers(0, NUM_CLUSTERS, (2, NUM_TRIPLES))
    centres = rng.normal(size=(NUM_CLUSTERS, DIM))
    features = (centres[clusters] + 0.45 * rng.normal(size=(2, NUM_TRIPLES, DIM))).astype(np.float32)
    distances = processor.dist([*map(torch.from_numpy, features)])
    near = processor.sim_label(distances, 2, THRESHOLD)
    of_cameras = {place: clusters[place].tolist() for place in range(2)}
    members = processor.nnn(of_cameras)
    related = processor.merge2(processor.merge(near, members, 2), of_cameras, 2)
    theirs = {p: set(qs) for p, qs in related["01"].items()}
    matched = {(p, qs[0]) for p, qs in processor.hard_sample_inference(related, 2)["01"].items()}
    pairs = near_pairs(features[0], features[1], threshold=THRESHOLD)
    pairs &= distances["01"] > 0  # the nearest pair of all, which their code does not see
    ours: dict[int, set[int]] = {}
    for i, j in np.argwhere(pairs):
        ours.setdefault(int(clusters[0, i]), set()).add(int(clusters[1, j]))
    table = np.zeros((NUM_CLUSTERS, NUM_CLUSTERS), bool)
    for p, qs in theirs.items():
        table[p, [*qs]] = True
    return ours == theirs, {*map(tuple, infer_matches(table).tolist())} == matched


def main() -> None:
    """Compare all cases and print a line for each formula."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity_lrimv", description=__doc__)
    parser.add_argument("--code", type=Path, required=True, help="a checkout of the authors' code")
    code = parser.parse_args().code
    warnings.simplefilter("ignore")  # their code calls PyTorch as it was in 2021
    for name in ABSENT:
        sys.modules.setdefault(name, mock.MagicMock())
    processor = load_module(code / "processor/processor.py")
    triplets = load_module(code / "loss/triplet_loss.py")
    names = ("triplet", "divergence", "gradient of both")
    differences = np.array(
        [[relative(*pair) for pair in losses(processor, triplets, seed)] for seed in range(CASES)]
    )
    for name, column in zip(names, differences.T, strict=True):
        print(f"{name:>20}: {column.max():.1e} at most over {CASES} cases")
    same = np.array([relations(processor, seed) for seed in range(CASES)])
    for name, column in zip(("relations", "matches"), same.T, strict=True):
        print(f"{name:>20}: the same in {column.sum()} of {CASES} cases")


if __name__ == "__main__":
    main()
