"""Tell copies of a picture that were encoded anew or rescaled: what is left of it on a coarse grid, compared.

Two descriptions, because each fails where the other holds: the pHash fails on smooth pictures, whose fine
frequencies are rounding noise, and the coarse grid on noisy ones, whose contrast averages out on it.
docs/MEASUREMENTS.md has the distances that were measured, under "Near-copies".
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.fft import dctn

HASH_BYTES = 32
GRID_BYTES = 64
LOOK_BYTES = HASH_BYTES + GRID_BYTES
"""A look: 256 bits of pHash, then an 8 × 8 grid of int8, as uint8."""

HASH_LIMIT = 24
"""Bits of 256 that may differ; copies of JPEG quality 50 differ by up to 16, other pictures by 32 and more."""
GRID_LIMIT = 0.07
"""Of the contrast that the grids may differ; copies of quality 30 by 0.05, other pictures by 0.08 and more."""

USUAL_HASH_SPREAD, USUAL_GRID_SPREAD = 0.85, 0.6
"""Of 1, which unrelated pictures have; of pictures with a common pattern it is less, and so are the limits then."""
FEW = 5
"""Identities; of fewer nobody can say what their pictures have in common."""

_SIDE = 32
_STEP = 32.0
"""Steps of the grid's int8 in one standard deviation."""
_BLOCK = 512


def look(image: Image.Image, raw: np.ndarray | None = None) -> np.ndarray | None:
    """Describe a picture by uint8 [LOOK_BYTES]; None if it is blank, that is one value throughout.

    `raw` [H, W] or [H, W, 3] takes the place of the 8-bit `image` where there are deeper values. Brightness and
    contrast do not matter.
    """
    if raw is None:
        grey = image.convert("L")
    else:
        grey = Image.fromarray((raw if raw.ndim == 2 else raw.mean(axis=-1)).astype(np.float32))
    lowest, highest = grey.getextrema()
    if lowest == highest:
        return None
    # As fractions, because rounding would be much of a faint picture's contrast.
    pixels = np.asarray(grey.convert("F").resize((_SIDE, _SIDE), Image.Resampling.BOX))
    waves = np.asarray(dctn(pixels))[:16, :16].ravel()
    bits = waves > np.partition(waves, 127)[127]
    cells = pixels.reshape(8, 4, 8, 4).mean(axis=(1, 3)).ravel()
    grid = (cells - cells.mean()) / max(float(cells.std()), 1e-6)
    steps = np.rint(_STEP * grid).clip(-127, 127).astype(np.int8)
    return np.concatenate([np.packbits(bits), steps.view(np.uint8)])


class Limits(NamedTuple):
    """How much the looks of one picture may differ: in bits of the hash, and in the contrast of the grid."""

    bits: float = HASH_LIMIT
    contrast: float = GRID_LIMIT


USUAL_LIMITS = Limits()


def limits_among(looks: np.ndarray, pids: Sequence[int] | np.ndarray) -> Limits:
    """The limits among looks, uint8 [N, LOOK_BYTES], of one modality and of these pids; -1 is nobody's.

    What all pictures have in common (borders, an overlay, a dead row of the sensor) makes them alike and says nothing
    of copies, so the limits shrink with the spread that is left between identities.
    """
    first = {(pid, i if pid < 0 else 0): i for i, pid in reversed(list(enumerate(pids)))}
    if len(first) < FEW:
        return USUAL_LIMITS
    signs, grids = _parts(looks[sorted(first.values())])
    unbiased = len(first) / (len(first) - 1)
    hash_spread, grid_spread = (unbiased * (1 - float((p.mean(axis=0) ** 2).mean())) for p in (signs, grids))
    return Limits(
        # Of bits that go with one another, fewer are left to differ than their spread says; hence its square.
        bits=HASH_LIMIT * min(1.0, hash_spread / USUAL_HASH_SPREAD) ** 2,
        contrast=GRID_LIMIT * min(1.0, max(0.0, grid_spread) / USUAL_GRID_SPREAD) ** 0.5,
    )


def near_pairs(
    first: np.ndarray, second: np.ndarray, limits: Limits = USUAL_LIMITS
) -> Iterator[tuple[int, int]]:
    """Pairs (i, j) of looks, uint8 [N, LOOK_BYTES] and [P, LOOK_BYTES], that show one picture; in rising order of i."""
    hashes, grids = _parts(second)
    for start in range(0, len(first), _BLOCK):
        block_hashes, block_grids = _parts(first[start : start + _BLOCK])
        # Signs of ±1: the product is 256 less twice the bits that differ.
        alike = block_hashes @ hashes.T >= 256 - 2 * limits.bits
        # Grids have mean 0 and a mean square of 1.
        alike |= block_grids @ grids.T >= 64 * (1 - limits.contrast**2 / 2)
        for i, j in np.argwhere(alike):
            yield start + int(i), int(j)


def _parts(looks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signs of the hash, float32 [N, 256], and the grid, float32 [N, 64] with a mean square of 1."""
    signs = 2 * np.unpackbits(looks[:, :HASH_BYTES], axis=1).astype(np.float32) - 1
    grids = np.ascontiguousarray(looks[:, HASH_BYTES:]).view(np.int8).astype(np.float32)
    return signs, grids / np.sqrt((grids**2).mean(axis=1, keepdims=True)).clip(1e-6)
