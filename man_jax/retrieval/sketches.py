"""Search a large gallery by sketches of one bit a number, which faiss compares, and rank the candidates exactly.

A sketch says of each number of a feature whether it is above the gallery's mean. The rows whose sketches differ from
the query's in the fewest bits are candidates; their order and their distances come from the features themselves. So
the only error is a near row that is no candidate, and `recall` measures it.
"""

from collections.abc import Sequence
from types import ModuleType

import numpy as np
from jaxtyping import Float32, Int64

from man_jax.retrieval.errors import FeatureFileError
from man_jax.retrieval.index import NONE, Matches, nearest_rows

CANDIDATES = 32
"""Candidates for each match that is asked for."""
BLOCK_ROWS = 4096
"""Gallery rows that are sketched at once."""
BLOCK_QUERIES = 256
"""Queries whose candidates are found at once."""


class SketchIndex:
    """The sketches of a gallery [G, D]: an eighth of a byte for each number."""

    def __init__(self, gallery: Float32[np.ndarray, "G D"]):
        """Sketch a gallery; FeatureFileError if faiss is not installed."""
        faiss = require_faiss()
        self._mean = gallery.mean(axis=0)
        self._sketches = faiss.IndexBinaryFlat(8 * -(-gallery.shape[1] // 8))
        for start in range(0, len(gallery), BLOCK_ROWS):
            self._sketches.add(self._sketch(gallery[start : start + BLOCK_ROWS]))

    def search(
        self,
        query: Float32[np.ndarray, "Q D"],
        gallery: Float32[np.ndarray, "G D"],
        *,
        k: int,
        left_out: Sequence[np.ndarray] | None = None,
    ) -> Matches:
        """Find about the k nearest rows of the gallery that was sketched; see `nearest_rows` for the arguments."""
        rows = np.full((len(query), k), NONE, np.int64)
        distances = np.full((len(query), k), np.inf, np.float32)
        most = max((len(each) for each in left_out or ()), default=0)
        count = min(CANDIDATES * k + most, len(gallery))
        for first in range(0, len(query), BLOCK_QUERIES):
            found = self.candidates(query[first : first + BLOCK_QUERIES], count)
            for place, candidates in enumerate(found, start=first):
                if left_out is not None:
                    candidates = candidates[~np.isin(candidates, left_out[place])]
                candidates = np.sort(candidates)  # rows at equal distance keep the order of the gallery
                best = nearest_rows(query[place : place + 1], gallery[candidates], k=k)
                filled = best.rows[0] != NONE
                rows[place, filled] = candidates[best.rows[0, filled]]
                distances[place] = best.distances[0]
        return Matches(rows, distances)

    def candidates(self, query: Float32[np.ndarray, "Q D"], count: int) -> Int64[np.ndarray, "Q count"]:
        """Find the rows whose sketches are nearest to those of the queries, at most as many as the gallery has."""
        return self._sketches.search(self._sketch(query), count)[1]  # pyright: ignore[reportCallIssue]

    def _sketch(self, features: Float32[np.ndarray, "N D"]) -> np.ndarray:
        return np.packbits(features > self._mean, axis=1)


def require_faiss() -> ModuleType:
    """Import faiss; FeatureFileError if it is not installed."""
    try:
        import faiss
    except ImportError as error:
        raise FeatureFileError(
            "an approximate search needs faiss; pip install 'man_jax[index]', or search exactly"
        ) from error
    return faiss
