"""What k-reciprocal re-ranking costs in time and memory: python -m benchmarks.reranking_cost.

Drawn unit features of 512 numbers around the directions of 751 identities, with as many queries and gallery triples as
Market1501-MM has, 3,368 and 15,913. The memory is the peak of the whole process (Linux only), and beside it the peak
above what the process held when it had the features. Every setting runs in a process of its own, because the peak of a
process's memory never falls.
"""

import argparse
import subprocess
import sys
import time

import numpy as np

from benchmarks.peak_memory import held, peak
from man_jax.retrieval.reranking import rerank
from man_jax.retrieval.settings import Reranking

SETTINGS = ("20,6,0.3", "50,15,0.3")
NOISE = 2.0


def drawn(num_samples: int, dim: int, num_identities: int) -> np.ndarray:
    """Draw unit features [N, D] around the directions of identities."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((num_identities, dim), np.float32)[
        rng.integers(0, num_identities, num_samples)
    ]
    rows += NOISE * rng.standard_normal(rows.shape, np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def measure(written: str, num_queries: int, num_gallery: int, dim: int, num_identities: int) -> None:
    """Time one re-ranking, and print a row of the table."""
    k1, k2, weight = written.split(",")
    features = drawn(num_queries + num_gallery, dim, num_identities)
    query, gallery = features[:num_queries], features[num_queries:]
    before, start = held(), time.perf_counter()
    rerank(query, gallery, Reranking(int(k1), int(k2), float(weight)))
    seconds = time.perf_counter() - start
    print(
        f"| {num_queries} x {num_gallery} | {dim} | {written} | {seconds:.0f} | {peak():.0f} | {peak() - before:.0f} |",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--settings", choices=SETTINGS, help="k1,k2,lambda; both if not given")
    parser.add_argument("--queries", type=int, default=3368)
    parser.add_argument("--gallery", type=int, default=15913)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--identities", type=int, default=751)
    flags = parser.parse_args()
    sizes = (flags.queries, flags.gallery, flags.dim, flags.identities)
    if flags.settings:
        measure(flags.settings, *sizes)
        sys.exit()
    print("| queries x gallery | width | k1, k2, lambda | s | peak, MiB | above the features, MiB |")
    print("|---|---:|---|---:|---:|---:|", flush=True)
    for settings in SETTINGS:
        words = [f"--{name}={value}" for name, value in vars(flags).items() if name != "settings"]
        subprocess.run(
            [sys.executable, "-m", "benchmarks.reranking_cost", f"--settings={settings}", *words], check=True
        )
