"""What clustering a target costs in time and memory, at the sizes of real sets: python -m benchmarks.clustering_cost.

Drawn features of three modalities, 3 × 2,048 fused, with as many identities as the training set has: RGBNT100 (8,675
triples of 50) and Market1501-MM (12,936 of 751). Every kind runs in a process of its own, because the peak of a
process's memory never falls. The memory is the peak above what the process held when it had the features (Linux only).
The time is that of all four clusterings, R, N, T and F, and of CPA.
"""

import argparse
import subprocess
import sys
import time

import numpy as np

from benchmarks.peak_memory import held, peak

SETS = {"RGBNT100": (8675, 50), "Market1501-MM": (12936, 751)}
SETTINGS = {
    "k1": 30,
    "k2": 6,
    "vote": 0.05,
    "eps": 0.5,
    "min_samples": 4,
    "cut": 0.9,
}
KINDS = {
    "kmeans": {},
    "linkage": {"clusters": "linkage", "count": "given", "neighbours": "fusion"},
    "linkage, k estimated": {"clusters": "linkage", "count": "estimated", "neighbours": "fusion"},
    "dbscan": {"clusters": "dbscan", "count": "given", "neighbours": "fusion"},
    "consensus": {"clusters": "linkage", "count": "estimated", "neighbours": "consensus"},
}
M, D, NOISE = 3, 2048, 5.0


def drawn_features(num_triples: int, num_identities: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw unit features [M, N, D] around the identities' directions, their fusion [N, M D], and the identities."""
    rng = np.random.default_rng(0)
    pids = rng.integers(0, num_identities, num_triples)
    modal = np.empty((M, num_triples, D), np.float32)
    for table in modal:
        table[:] = rng.standard_normal((num_identities, D), np.float32)[pids]
        table += NOISE * rng.standard_normal(table.shape, np.float32)
        table /= np.linalg.norm(table, axis=1, keepdims=True)
    return modal, np.concatenate(list(modal), axis=1) / np.float32(M**0.5), pids


def measure(kind: str, dataset: str) -> None:
    """Cluster once, and print a row of the table."""
    import jax

    from man_jax.clustering.kmeans import cluster_tables
    from man_jax.clustering.pseudo_labels import FUSION, align_pseudo_labels, clustering_accuracy
    from man_jax.clustering.target_clusters import cluster_by_neighbours

    num_triples, num_identities = SETS[dataset]
    modal, fused, pids = drawn_features(num_triples, num_identities)
    before, start = held(), time.perf_counter()
    if kind == "kmeans":
        key = jax.random.key(0)
        clusters = cluster_tables([*modal, fused], num_clusters=num_identities, key=key)
    else:
        room = {"num_clusters": num_identities, "most": num_triples // SETTINGS["min_samples"]}
        clusters = cluster_by_neighbours(modal, fused, **room, **SETTINGS, **KINDS[kind])
    found = int(clusters[FUSION].max(initial=-1)) + 1
    settled = align_pseudo_labels(clusters[:FUSION], clusters[FUSION], num_clusters=found)
    seconds, used = time.perf_counter() - start, peak() - before
    accuracy = clustering_accuracy(clusters[FUSION], pids)
    print(
        f"| {dataset} | {kind} | {seconds:.0f} | {used:.0f} | {found} of {num_identities} | {accuracy:.2f} "
        f"| {settled.reliable.mean():.2f} |",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", choices=SETS, help="both if not given")
    parser.add_argument("--kind", choices=KINDS, help="all if not given")
    flags = parser.parse_args()
    if flags.dataset and flags.kind:
        measure(flags.kind, flags.dataset)
        sys.exit()
    print("| set | kind | s | peak above the features, MiB | clusters | accuracy of F | reliable |")
    print("|---|---|---:|---:|---:|---:|---:|", flush=True)
    for dataset in [flags.dataset] if flags.dataset else SETS:
        for kind in [flags.kind] if flags.kind else KINDS:
            command = [
                sys.executable,
                "-m",
                "benchmarks.clustering_cost",
                "--dataset",
                dataset,
                "--kind",
                kind,
            ]
            subprocess.run(command, check=True)
