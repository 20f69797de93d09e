"""What searching a large gallery costs, exactly and by indexes of faiss and usearch: python -m benchmarks.index_speed.

Drawn unit features in clusters of about 20: a cluster's direction and a deviation of each row, both of 128 dimensions
with falling variance, and noise in all D. Every kind runs in a process of its own, on one thread. Times are those of
the processor, so that other work on the machine counts little; a query is asked alone, as on a page of man_jax.search.
Memory is what the process holds besides the features when the index is built (Linux only). Every index proposes 320
candidates for each query, which are ranked by their features as `man_jax.retrieval.sketches` does; recall is the share
of the exact ten nearest that is found. usearch needs `pip install usearch`.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SIZES = ("100000x6144", "1000000x1024")
K, CANDIDATES, NUM_QUERIES = 10, 320, 100
LATENT, CLUSTER, DEVIATION, NOISE = 128, 20, 0.7, 0.5
BLOCK = 10_000
TRAINING = 40_000
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

Propose = Callable[[np.ndarray], np.ndarray]
"""From a query [D] to the rows of its candidates."""


def draw(num_rows: int, width: int) -> np.ndarray:
    """Draw unit features [num_rows, width]."""
    rng = np.random.default_rng(0)
    scale = 1 / np.sqrt(np.arange(1, LATENT + 1, dtype=np.float32))
    basis = rng.standard_normal((LATENT, width), np.float32)
    centres = scale * rng.standard_normal((max(1, num_rows // CLUSTER), LATENT), np.float32)
    features = np.empty((num_rows, width), np.float32)
    for start in range(0, num_rows, BLOCK):
        block = features[start : start + BLOCK]
        chosen = centres[rng.integers(0, len(centres), len(block))]
        deviation = scale * rng.standard_normal(chosen.shape, np.float32)
        np.matmul(chosen + np.float32(DEVIATION) * deviation, basis, out=block)
        length = np.linalg.norm(block, axis=1, keepdims=True)
        block += np.float32(NOISE / width**0.5) * length * rng.standard_normal(block.shape, np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return features


def sketches(gallery: np.ndarray) -> Propose:
    """Build our index: faiss's IndexBinaryFlat over one bit a number."""
    from man_jax.retrieval.sketches import SketchIndex

    index = SketchIndex(gallery)
    return lambda query: index.candidates(query[None], CANDIDATES)[0]


def rabitq(gallery: np.ndarray) -> Propose:
    """Build faiss's RaBitQ: one bit a number and two factors a row."""
    import faiss

    index = faiss.IndexRaBitQ(gallery.shape[1], faiss.METRIC_INNER_PRODUCT)
    index.train(gallery[:TRAINING:4])
    _add(index, gallery)
    return lambda query: index.search(query[None], CANDIDATES)[1][0]


def inverted(gallery: np.ndarray, *, probes: int) -> Propose:
    """Build faiss's inverted lists of 8-bit numbers; `probes` of the 512 lists are searched."""
    import faiss

    index = faiss.index_factory(gallery.shape[1], "IVF512,SQ8", faiss.METRIC_INNER_PRODUCT)
    index.cp.niter, index.nprobe = 5, probes
    index.train(gallery[:TRAINING])
    _add(index, gallery)
    return lambda query: index.search(query[None], CANDIDATES)[1][0]


def graph(gallery: np.ndarray) -> Propose:
    """Build usearch's graph (HNSW) of 8-bit numbers."""
    from usearch.index import Index

    index = Index(ndim=gallery.shape[1], metric="ip", dtype="i8")
    for start in range(0, len(gallery), BLOCK):
        block = gallery[start : start + BLOCK]
        index.add(np.arange(start, start + len(block)), block, threads=1)
    return lambda query: index.search(query, CANDIDATES, threads=1).keys.astype(np.int64)


KINDS: dict[str, Callable[[np.ndarray], Propose]] = {
    "faiss IndexBinaryFlat (ours)": sketches,
    "faiss RaBitQ": rabitq,
    "faiss IVF512,SQ8, 32 lists": lambda gallery: inverted(gallery, probes=32),
    "faiss IVF512,SQ8, 128 lists": lambda gallery: inverted(gallery, probes=128),
    "usearch HNSW, 8 bits": graph,
}
EXACT = "exact"


def measure(kind: str, folder: Path) -> None:
    """Build one index, search it, and print a row of the table."""
    from man_jax.retrieval.index import Matches, nearest_rows, recall

    gallery, query = np.load(folder / "gallery.npy"), np.load(folder / "query.npy")
    held_before, start = _held(), time.process_time()
    propose = None if kind == EXACT else KINDS[kind](gallery)
    built, held = time.process_time() - start, _held() - held_before
    start, found = time.process_time(), []
    for each in query:
        if propose is None:
            found.append(nearest_rows(each[None], gallery, k=K))
            continue
        rows = np.sort(propose(each))
        rows = rows[rows >= 0]
        best = nearest_rows(each[None], gallery[rows], k=K)
        found.append(Matches(rows[best.rows], best.distances))
    seconds = (time.process_time() - start) / len(query)
    together = Matches(
        np.concatenate([each.rows for each in found]), np.concatenate([each.distances for each in found])
    )
    if kind == EXACT:
        np.savez(folder / "exact.npz", *together)
    exact = Matches(*np.load(folder / "exact.npz").values())
    size = f"{len(gallery):,} × {gallery.shape[1]:,}"
    row = f"{built:.1f} | {1000 * seconds:.1f} | {held:,.0f} | {recall(together, exact):.3f}"
    print(f"| {size} | {kind} | {row} |", flush=True)


def _add(index: object, gallery: np.ndarray) -> None:
    for start in range(0, len(gallery), BLOCK):
        index.add(gallery[start : start + BLOCK])  # pyright: ignore[reportAttributeAccessIssue]


def _held() -> float:
    """Give the memory that this process has now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def run_all(sizes: list[str], kinds: list[str], limit: int) -> None:
    """Print the table; each row is measured in a process of its own, which is stopped at the limit."""
    print("| rows × D | kind | build, s | a query, ms | memory, MiB | recall@10 |")
    print("|---|---|---:|---:|---:|---:|", flush=True)
    for size in sizes:
        num_rows, width = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as name:
            features = draw(num_rows + NUM_QUERIES, width)
            np.save(Path(name) / "gallery.npy", features[:num_rows])
            np.save(Path(name) / "query.npy", features[num_rows:])
            del features
            for kind in [EXACT, *kinds]:
                command = [sys.executable, "-m", "benchmarks.index_speed", "--folder", name, "--kind", kind]
                try:
                    subprocess.run(command, check=True, timeout=limit, env=os.environ | ONE_THREAD)
                except subprocess.TimeoutExpired:
                    print(
                        f"| {num_rows:,} × {width:,} | {kind} | stopped after {limit} s | | | |", flush=True
                    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--size", action="append", help=f"rows and D, such as 20000x6144; {SIZES} if not given"
    )
    parser.add_argument("--kind", action="append", choices=[EXACT, *KINDS], help="all if not given")
    parser.add_argument("--limit", type=int, default=600, help="seconds after which a kind is stopped")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.folder:
        measure(flags.kind[0], flags.folder)
        sys.exit()
    run_all(flags.size or list(SIZES), [each for each in flags.kind or KINDS if each != EXACT], flags.limit)
