"""Write features for TensorBoard's embedding projector, which shows them as points that one can turn and search."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import logging
from jaxtyping import UInt8
from PIL import Image, ImageOps

from data_pipelines.reading.printable import printable
from data_pipelines.session.parallel import map_in_order
from data_pipelines.session.progress import track
from man_jax.retrieval.feature_file import FeatureFile

SIDE = 48
"""Height and width of a small image in pixels; the projector wants squares."""
LONGEST_PAGE = 8192
"""Height and width of the page of all small images that a browser still shows."""


def write_projector(
    folder: Path, file: FeatureFile, read: Callable[[int], UInt8[np.ndarray, "M H W 3"]]
) -> None:
    """Write the features, the names, identities and cameras of all triples, and a small image of each.

    The image is that of the first modality. Of more than 29,000 triples there are none, and the log says so.

    Args:
        folder: for `tensorboard --logdir`; it is made if it does not exist.
        file: the features of N triples.
        read: from the place of a triple to its images.

    Raises OSError if the disk refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "tensors.tsv").open("w") as stream:
        stream.writelines("\t".join(map("{:.7g}".format, row)) + "\n" for row in file.features.tolist())
    rows = [("name", "pid", "camid"), *rows_of(file)]
    (folder / "metadata.tsv").write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    lines = ['tensor_name: "features"', 'tensor_path: "tensors.tsv"', 'metadata_path: "metadata.tsv"']
    columns = math.ceil(math.sqrt(len(file.paths)))
    if columns * SIDE <= LONGEST_PAGE:
        page_of_images(len(file.paths), read, columns).save(folder / "sprite.png")
        lines.append(
            f'sprite {{ image_path: "sprite.png" single_image_dim: {SIDE} single_image_dim: {SIDE} }}'
        )
    else:
        logging.warning(
            "the projector has no images: its page does not hold those of %d triples", len(file.paths)
        )
    # Last, because without it TensorBoard sees nothing.
    inner = "".join(f"  {line}\n" for line in lines)
    (folder / "projector_config.pbtxt").write_text(f"embeddings {{\n{inner}}}\n", encoding="utf-8")


def page_of_images(
    number: int, read: Callable[[int], UInt8[np.ndarray, "M H W 3"]], columns: int
) -> Image.Image:
    """Put small images of the triples' first modality on a square page, row by row."""
    page = Image.new("RGB", (columns * SIDE, columns * SIDE), "white")
    small = track(
        map_in_order(lambda place: small_image(read(place)[0]), range(number)),
        total=number,
        description="small images",
        unit="triple",
    )
    for place, image in enumerate(small):
        row, column = divmod(place, columns)
        page.paste(image, (column * SIDE, row * SIDE))
    return page


def rows_of(file: FeatureFile) -> list[tuple[str, str, str]]:
    """Name each triple by its first image, with identity and camera; "?" stands for what is unknown."""
    rows = []
    for place, (paths, pid, camid) in enumerate(zip(file.paths, file.pids, file.camids, strict=True)):
        first = next(filter(None, paths), "")
        name = printable(Path(first).name) if first else f"triple {place}"
        rows.append((name, "?" if pid < 0 else str(pid), "?" if camid < 0 else str(camid)))
    return rows


def small_image(image: UInt8[np.ndarray, "H W 3"]) -> Image.Image:
    """Make a small square of an image, with white beside it."""
    return ImageOps.pad(Image.fromarray(image), (SIDE, SIDE), color="white")
