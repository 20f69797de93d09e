"""What retrieval on a data set's unseen identities is worth: features, distances, mAP and CMC."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from data_pipelines.storing.prepared import PreparedDataset
from man_jax.array_math import unit
from man_jax.engine.extract import Extract, extract_table
from man_jax.frame import FeatureTable
from man_jax.networks.three_branch import Variables, concatenate_modalities
from man_jax.retrieval.ranking import RankingResult, evaluate_ranking, query_gallery_distances


class QueryGallery(NamedTuple):
    """Unit features of all queries and of the whole gallery."""

    query: FeatureTable
    gallery: FeatureTable


def extract_query_gallery(
    extract: Extract, variables: Variables, data: PreparedDataset, *, batch_size: int, mesh: Mesh
) -> QueryGallery:
    """Features of both test splits; `batch_size` is global and divisible by the number of devices."""
    kind = {"batch_size": batch_size, "mesh": mesh}
    return QueryGallery(
        extract_table(extract, variables, data.query, **kind, description="features of queries"),
        extract_table(extract, variables, data.gallery, **kind, description="features of gallery"),
    )


def retrieval_distances(
    features: QueryGallery, *, present: Sequence[int] | None = None
) -> Float[np.ndarray, "Q G"]:
    """Squared distances of the fused Unit features of every query to every gallery triple.

    `present`: the branches whose modality is there (Table 9); all of them if None.
    """

    def fused(table: FeatureTable):
        if present is None:
            return table.fused
        return np.asarray(unit(concatenate_modalities(jnp.asarray(table.modal[list(present)]))))

    return query_gallery_distances(fused(features.query), fused(features.gallery))


def rank(distances: Float[np.ndarray, "Q G"], data: PreparedDataset) -> RankingResult:
    """mAP, CMC and mINP under the removal rule of the data set."""
    return evaluate_ranking(
        distances,
        query_pids=data.query.pids,
        gallery_pids=data.gallery.pids,
        query_groups=data.query.groups,
        gallery_groups=data.gallery.groups,
        group_name=data.removal,
    )
