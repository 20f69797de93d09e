"""Store triples in two ways: with the file names and folders of RGBNT100 or of WMVeID863."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from data_pipelines.synthetic.domains import DrawnDomain
from data_pipelines.synthetic.triples import cameras_of

JPEG_QUALITY = 92


@dataclass(frozen=True)
class Item:
    """One triple to be rendered, and the splits that contain it."""

    index: int  # of the identity
    number: int  # of the triple within its identity
    camera: int
    splits: tuple[str, ...]  # of "train", "query", "gallery"


def plan(domain: DrawnDomain, seed: int, identities: int, test_identities: int, triples: int) -> list[Item]:
    """List every triple of a domain: training identities first, then the test identities.

    All test triples are in the gallery, and the first triple of each camera is a query too. Several cameras see each
    identity, so every query has a match of another camera.
    """
    items = []
    for index in range(identities + test_identities):
        cameras = cameras_of(domain, seed, index, triples)
        for number, camera in enumerate(cameras):
            first = camera not in cameras[:number]
            held_out = ("query", "gallery") if first else ("gallery",)
            items.append(Item(index, number, camera, ("train",) if index < identities else held_out))
    return items


def files(
    domain: DrawnDomain, item: Item, triple: UInt8[np.ndarray, "3 H W 3"]
) -> Iterator[tuple[str, bytes]]:
    """Yield relative paths and JPEG bytes of one triple in its domain's layout."""
    pid = domain.first_pid + item.index
    if domain.layout == "rgbnt100":
        folders = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
        name = f"{pid:04d}_c{item.camera + 1:04d}_{item.number:03d}.jpg"
        picture = _jpeg(np.concatenate(list(triple), axis=1))
        for split in item.splits:
            yield f"rgbir/{folders[split]}/{name}", picture
        return
    for modality, image in zip(("vis", "ni", "th"), triple, strict=True):
        picture = _jpeg(image)
        for split in item.splits:
            yield place(domain, item, split, modality), picture


def place(domain: DrawnDomain, item: Item, split: str, modality: str) -> str:
    """Give the relative path of one picture in the layout of WMVeID863."""
    folder = {"train": "train", "query": "query", "gallery": "test"}[split]
    return f"{folder}/{domain.first_pid + item.index:04d}/{modality}/v{item.camera}_n1_s999_{item.number:03d}.jpg"


def _jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
