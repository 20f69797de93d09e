"""Extract the features of whole splits, in evaluation mode."""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, UInt8

from data_pipelines.loading.loader import evaluation_batches
from data_pipelines.reading.records import DataError
from data_pipelines.session.progress import track
from data_pipelines.storing.prepared import PreparedSplit
from man_jax.engine.augment import Normalization, normalize
from man_jax.frame import FeatureTable
from man_jax.networks.three_branch import ThreeBranch, Variables
from man_jax.runs.compilation_notice import compiling
from man_jax.sharding import local_rows, put_batch, replicated

Extract = Callable[[Variables, UInt8[Array, "B M H W 3"]], tuple[Array, Array, Array]]


def make_extract(model: ThreeBranch, normalization: Normalization, mesh: Mesh) -> Extract:
    """Make the jitted function from (variables, images) to the unit features of a `FeatureTable`.

    Every host gets the features of the whole batch.
    """

    def extract(variables: Variables, images: UInt8[Array, "B M H W 3"]):
        features, _ = model.features(variables, normalize(images, normalization), train=False)
        return features.modal_unit, features.fused_unit, features.pooled_unit

    return jax.jit(extract, out_shardings=replicated(mesh))


def extract_table(
    extract: Extract,
    variables: Variables,
    split: PreparedSplit,
    *,
    batch_size: int,
    mesh: Mesh,
    description: str,
) -> FeatureTable:
    """Extract the features of every triple of a split; `batch_size` is that of all devices, which must divide it.

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
    # The features stay on the device until all batches are started, because fetching each would wait for it.
    tables = []
    for batch in progress:
        images = put_batch(batch["images"][rows], mesh)
        with compiling(extract, "the network that takes features"):
            tables.append(extract(variables, images))
    modal, fused, pooled = zip(*tables, strict=True)

    def all_of(parts: tuple[Array, ...]) -> np.ndarray:
        return np.concatenate(jax.device_get(parts), axis=1)[:, : len(split)]

    return FeatureTable(
        modal=all_of(modal),
        fused=np.concatenate(jax.device_get(fused))[: len(split)],
        pooled=all_of(pooled),
    )
