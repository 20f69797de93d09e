"""Check the distances of all pairs of samples, before samples are clustered by them (on the host)."""

import numpy as np
from jaxtyping import Float, Shaped

BLOCK_ROWS = 256
"""Of a block of rows and columns, which fits a processor's cache, as rows and as columns."""


def check_distances(distances: Float[np.ndarray, "N N"]) -> None:
    """Refuse distances that are not square, or not finite numbers >= 0.

    Raises ValueError, which names the first wrong one.
    """
    if distances.ndim != 2 or distances.shape[0] != distances.shape[1]:
        raise ValueError(f"distances have the shape {distances.shape}; give those of all pairs, [N, N]")
    for start in range(0, len(distances), BLOCK_ROWS):
        rows = distances[start : start + BLOCK_ROWS]
        if rows.min() >= 0 and rows.max() < np.inf:  # false if one of them is NaN
            continue
        i, j = np.argwhere(~((rows >= 0) & (rows < np.inf)))[0]
        raise ValueError(
            f"the distance of samples {start + i} and {j} is {rows[i, j]}; give finite numbers >= 0"
        )


def check_symmetric(
    compared: Shaped[np.ndarray, "N N"], distances: Float[np.ndarray, "N N"], *, where: str = ""
) -> None:
    """Refuse distances of which what is compared, themselves or what is read from them, is not symmetric.

    Raises ValueError, which names an unequal pair; `where` says of it what is compared.
    """
    for start in range(0, len(compared), BLOCK_ROWS):
        for other in range(start, len(compared), BLOCK_ROWS):
            block = compared[start : start + BLOCK_ROWS, other : other + BLOCK_ROWS]
            mirrored = compared[other : other + BLOCK_ROWS, start : start + BLOCK_ROWS].T
            if np.array_equal(block, mirrored):
                continue
            i, j = np.argwhere(block != mirrored)[0] + (start, other)
            raise ValueError(
                f"d({i}, {j}) is {distances[i, j]} and d({j}, {i}) is {distances[j, i]}{where}; "
                "give symmetric distances"
            )
