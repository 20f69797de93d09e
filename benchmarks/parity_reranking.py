"""Compare k-reciprocal re-ranking with its public code: the largest differences on the same features.

    python -m benchmarks.parity_reranking --code CHECKOUT

CHECKOUT is a clone of https://github.com/zhunzhong07/person-re-ranking or of
https://github.com/michuanhaohao/reid-strong-baseline. The code is run twice: as it is, and with double precision in
place of its half or single one, which shows what part of a difference is rounding.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from benchmarks.public_code import code_folder, definitions
from man_jax.retrieval.reranking import rerank
from man_jax.retrieval.settings import Reranking

CASES = 30
Q, G, D, IDENTITIES = 40, 260, 24, 25
SETTINGS = (Reranking(20, 6, 0.3), Reranking(50, 15, 0.3), Reranking(7, 1, 0.5))
OF_DISTANCES, OF_FEATURES = "python-version/re_ranking_ranklist.py", "utils/re_ranking.py"
IN_DOUBLE = SimpleNamespace(**(vars(np) | {"float16": np.float64, "float32": np.float64}))
"""NumPy, whose narrow types are wide."""

Rerank = Callable[[np.ndarray, np.ndarray, Reranking], np.ndarray]


def drawn(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw unit features of queries and of a gallery around the directions of identities."""
    rows = rng.normal(size=(IDENTITIES, D))[rng.integers(0, IDENTITIES, Q + G)]
    rows = rows + 0.6 * rng.normal(size=rows.shape)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return rows[:Q], rows[Q:]


def public_rerank(code: Path, numpy: Any) -> Rerank:
    """Make the public function, one of both kinds, that takes features and uses the types of `numpy`."""
    by_distances = (code / OF_DISTANCES).is_file()
    # Not cached: each precision needs a namespace of its own.
    found = definitions.__wrapped__(code / (OF_DISTANCES if by_distances else OF_FEATURES), "re_ranking")
    function = found.re_ranking
    function.__globals__["np"] = numpy

    def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a, b = a.astype(np.float64), b.astype(np.float64)
        return np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=-1))

    def call(query: np.ndarray, gallery: np.ndarray, settings: Reranking) -> np.ndarray:
        with contextlib.redirect_stdout(io.StringIO()):
            if by_distances:
                pairs = ((query, gallery), (query, query), (gallery, gallery))
                return function(*(distances(*pair) for pair in pairs), *settings)
            kind = torch.float64 if numpy is IN_DOUBLE else torch.float32
            # The code calls addmm_ in a form that PyTorch has given up; the older one is put back for it.
            new = torch.Tensor.addmm_
            torch.Tensor.addmm_ = lambda self, beta, alpha, a, b: new(self, a, b, beta=beta, alpha=alpha)
            try:
                return function(torch.tensor(query, dtype=kind), torch.tensor(gallery, dtype=kind), *settings)
            finally:
                torch.Tensor.addmm_ = new

    return call


def comparisons(code: Path) -> Iterator[tuple[str, float]]:
    """Yield the settings and the precision of the public code, and the largest difference of a case."""
    for precision, numpy in (("as it is", np), ("in double precision", IN_DOUBLE)):
        theirs = public_rerank(code, numpy)
        for settings in SETTINGS:
            name = f"k1 {settings.k1}, k2 {settings.k2}, lambda {settings.weight}, {precision}"
            for case in range(CASES):
                query, gallery = drawn(np.random.default_rng(case))
                apart = np.abs(theirs(query, gallery, settings) - rerank(query, gallery, settings))
                yield name, float(apart.max())


if __name__ == "__main__":
    largest: dict[str, list[float]] = {}
    for name, apart in comparisons(code_folder(__doc__)):
        largest.setdefault(name, []).append(apart)
    print("| settings, precision of the public code | largest difference | cases |\n|---|---:|---:|")
    for name, each in largest.items():
        print(f"| {name} | {max(each):.1e} | {len(each)} |")
