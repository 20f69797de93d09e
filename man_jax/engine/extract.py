"""Extract the features of whole splits, in evaluation mode."""

from collections import deque
from collections.abc import Callable
from pathlib import Path

import jax
from jax.sharding import Mesh
from jaxtyping import Array, UInt8

from data_pipelines.loading.loader import evaluation_batches
from data_pipelines.reading.records import DataError
from data_pipelines.session.progress import track
from data_pipelines.storing.prepared import PreparedSplit
from man_jax.engine.augment import Normalization, normalize
from man_jax.engine.feature_rows import FeatureRows
from man_jax.frame import FeatureTable
from man_jax.networks.three_branch import ThreeBranch, Variables
from man_jax.runs.compilation_notice import compiling
from man_jax.sharding import local_rows, put_batch, replicated

Extract = Callable[..., tuple[Array, ...]]
"""A jitted function (variables, uint8 images [B, M, H, W, 3], num_parts=0) → the arrays of a `FeatureTable`."""


AHEAD = 16
"""How many batches may be under way before the oldest is fetched: they keep the devices busy and take little memory."""


def make_extract(model: ThreeBranch, normalization: Normalization, mesh: Mesh) -> Extract:
    """Make the jitted function from (variables, images) to the arrays of a `FeatureTable`.

    With `num_parts` it gives the part features too, by a program of its own. Every host gets the features of the whole
    batch.
    """

    def extract(variables: Variables, images: UInt8[Array, "B M H W 3"], *, num_parts: int = 0):
        view, stripes = normalize(images, normalization), ()
        if num_parts:
            features, parts, _ = model.features_and_stripes(variables, view, train=False, num_parts=num_parts)
            stripes = (parts,)
        else:
            features, _ = model.features(variables, view, train=False)
        return features.modal_unit, features.fused_unit, features.pooled_unit, *stripes

    return jax.jit(extract, out_shardings=replicated(mesh), static_argnames="num_parts")


def extract_table(
    extract: Extract,
    variables: Variables,
    split: PreparedSplit,
    *,
    batch_size: int,
    mesh: Mesh,
    description: str,
    num_parts: int = 0,
    folder: Path | None = None,
) -> FeatureTable:
    """Extract the features of every triple of a split; `batch_size` is that of all devices, which must divide it.

    With `num_parts` the table has the features of so many parts too. With `folder` it is in mapped files there, which
    have no name and go with the table.

    Raises DataError if the split has no triple.
    """
    if not len(split):
        raise DataError(f"{description}: the split has no triple; extract those of a split that the set has")
    batches = evaluation_batches(split, batch_size)
    progress = track(
        batches,
        total=-(-len(split) // batch_size),
        description=description,
        unit="batch",
        process_index=jax.process_index(),
    )
    rows = local_rows(batch_size)
    asked = {"num_parts": num_parts} if num_parts else {}
    # Some batches stay on the device until others are started, because fetching each would wait for it.
    started: deque[tuple[Array, ...]] = deque()
    table: list[FeatureRows] = []
    number = 0

    def keep_oldest() -> None:
        nonlocal number
        found = jax.device_get(started.popleft())
        if not table:
            shapes = [(*each.shape[:-2], len(split), each.shape[-1]) for each in found]
            table.extend(
                FeatureRows(shape, each.dtype, folder) for shape, each in zip(shapes, found, strict=True)
            )
        for kept, each in zip(table, found, strict=True):
            kept.write(number * batch_size, each)
        number += 1

    for batch in progress:
        images = put_batch(batch["images"][rows], mesh)
        with compiling(extract, "the network that takes features"):
            started.append(extract(variables, images, **asked))
        if len(started) > AHEAD:
            keep_oldest()
    while started:
        keep_oldest()
    return FeatureTable(*(each.array() for each in table))
