"""Query expansion, one query and one gallery entry at a time, in float64."""

import numpy as np

from tests.oracles.geometry import Array, dot, unit, unit_rows


def expanded(query: Array, gallery: Array, k: int, alpha: float) -> Array:
    queries, entries = unit_rows(query), unit_rows(gallery)
    moved = []
    for row in queries:
        total = row.copy()
        for entry in sorted(entries, key=lambda entry, row=row: -dot(row, entry))[:k]:
            similarity = max(dot(row, entry), 0.0)
            total = total + (1.0 if alpha == 0 else similarity**alpha) * entry
        moved.append(unit(total))
    return np.array(moved)
