"""Find copies of a picture that were encoded again or rescaled, by comparing two coarse descriptions.

There are two, because each fails on some pictures: the pHash on smooth pictures, whose fine frequencies are rounding
noise, and the coarse grid on noisy pictures, whose contrast averages out on it.
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
"""The bytes of a look: 256 bits of pHash, then an 8 × 8 grid of int8, all as uint8."""

HASH_LIMIT = 24
"""How many of 256 bits may differ. Copies of JPEG quality 50 differ by up to 16, other pictures by 32 and more."""
GRID_LIMIT = 0.07
"""By how much of their contrast the grids may differ. Copies of quality 30 differ by 0.05, other pictures by 0.08."""

USUAL_HASH_SPREAD, USUAL_GRID_SPREAD = 0.85, 0.6
"""The limits shrink if the spread between identities is below these values. Unrelated pictures have a spread of 1,
pictures with a common pattern a smaller one."""
FEW = 5
"""With fewer identities than this, the common pattern of the pictures cannot be measured."""

_SIDE = 32
_STEP = 32.0
"""How many steps of the grid's int8 make one standard deviation."""
_BLOCK = 512


def look(image: Image.Image, raw: np.ndarray | None = None) -> np.ndarray | None:
    """Describe a picture by uint8 [LOOK_BYTES]; None if it is blank, which means that all its values are equal.

    `raw` [H, W] or [H, W, 3] is used in place of the 8-bit `image` if there are more than 8 bits. Brightness and
    contrast do not matter.
    """
    if raw is None:
        grey = image.convert("L")
    else:
        grey = Image.fromarray((raw if raw.ndim == 2 else raw.mean(axis=-1)).astype(np.float32))
    lowest, highest = grey.getextrema()
    if lowest == highest:
        return None
    # Kept as fractions, because rounding would be a large part of a faint picture's contrast.
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
    """Compute the limits for looks, uint8 [N, LOOK_BYTES], of one modality and these pids; -1 is unlabelled.

    All pictures may have something in common, such as borders, an overlay or a dead row of the sensor. That makes them
    similar, but not copies. So the limits shrink with the spread between identities.
    """
    first = {(pid, i if pid < 0 else 0): i for i, pid in reversed(list(enumerate(pids)))}
    if len(first) < FEW:
        return USUAL_LIMITS
    signs, grids = _parts(looks[sorted(first.values())])
    unbiased = len(first) / (len(first) - 1)
    hash_spread, grid_spread = (unbiased * (1 - float((p.mean(axis=0) ** 2).mean())) for p in (signs, grids))
    return Limits(
        # Bits that depend on each other leave fewer free bits than their spread says; hence the square.
        bits=HASH_LIMIT * min(1.0, hash_spread / USUAL_HASH_SPREAD) ** 2,
        contrast=GRID_LIMIT * min(1.0, max(0.0, grid_spread) / USUAL_GRID_SPREAD) ** 0.5,
    )


def near_pairs(
    first: np.ndarray, second: np.ndarray, limits: Limits = USUAL_LIMITS
) -> Iterator[tuple[int, int]]:
    """Find pairs (i, j) of looks, uint8 [N, LOOK_BYTES] and [P, LOOK_BYTES], that show one picture, in order of i."""
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
    """Split looks into the signs of the hash, float32 [N, 256], and the grid, float32 [N, 64] of mean square 1."""
    signs = 2 * np.unpackbits(looks[:, :HASH_BYTES], axis=1).astype(np.float32) - 1
    grids = np.ascontiguousarray(looks[:, HASH_BYTES:]).view(np.int8).astype(np.float32)
    return signs, grids / np.sqrt((grids**2).mean(axis=1, keepdims=True)).clip(1e-6)
