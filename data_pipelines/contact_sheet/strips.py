"""Encode the images of a triple as one picture that an HTML page carries in itself."""

import base64
import io

import numpy as np
from PIL import Image

STRIP_HEIGHT = 128
"""Height of a strip in pixels; larger images are reduced to it, and the browser enlarges smaller ones."""
GAP = 2


def strip_url(triple: np.ndarray) -> str:
    """Encode uint8 [M, H, W, 3] as the data URL of one JPEG, with the modalities from left to right."""
    _, height, width, _ = triple.shape
    page = Image.new("RGB", (strip_width(len(triple), width), height), "white")
    for m, image in enumerate(triple):
        page.paste(Image.fromarray(image), (m * (width + GAP), 0))
    if height > STRIP_HEIGHT:
        page.thumbnail((page.width, STRIP_HEIGHT))
    buffer = io.BytesIO()
    page.save(buffer, "JPEG", quality=88, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def strip_width(num_modalities: int, width: int) -> int:
    """Give the width in pixels of a strip of images that are `width` pixels wide."""
    return num_modalities * (width + GAP) - GAP
