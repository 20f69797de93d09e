"""Show on an image where a branch's last maps are strong."""

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

OPACITY = 0.55
"""Of the colour where the map is strongest."""


def overlay(
    image: UInt8[np.ndarray, "H W 3"], strength: Float[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "H W 3"]:
    """Lay the colours of a map over an image: dark where it is 0, yellow where it is 1.

    The map is enlarged to the image bilinearly. Values outside 0 … 1 are cut off.
    """
    height, width = image.shape[:2]
    field = Image.fromarray(np.clip(strength, 0, 1).astype(np.float32), mode="F")
    enlarged = np.asarray(field.resize((width, height), Image.Resampling.BILINEAR))
    colours = mpl.colormaps["inferno"](enlarged)[..., :3] * 255
    share = OPACITY * (0.35 + 0.65 * enlarged[..., None])
    return np.round((1 - share) * image + share * colours).astype(np.uint8)
