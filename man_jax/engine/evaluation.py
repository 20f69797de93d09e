"""Measure retrieval on a data set's unseen identities: features, distances, mAP and CMC."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from data_pipelines.storing.prepared import PreparedDataset
from man_jax.array_math import unit
from man_jax.engine.extract import Extract, extract_table
from man_jax.frame import FeatureTable
from man_jax.networks.three_branch import Variables, concatenate_modalities
from man_jax.retrieval.distances import AnyDistances, FeatureDistances
from man_jax.retrieval.ranking import RankingResult, evaluate_ranking


class QueryGallery(NamedTuple):
    """Unit features of all queries and of the whole gallery."""

    query: FeatureTable
    gallery: FeatureTable


def extract_query_gallery(
    extract: Extract, variables: Variables, data: PreparedDataset, *, batch_size: int, mesh: Mesh
) -> QueryGallery:
    """Extract the features of query and gallery; `batch_size` is that of all devices, which must divide it."""
    kind = {"batch_size": batch_size, "mesh": mesh}
    return QueryGallery(
        extract_table(extract, variables, data.query, **kind, description="features of queries"),
        extract_table(extract, variables, data.gallery, **kind, description="features of gallery"),
    )


def retrieval_distances(features: QueryGallery, *, present: Sequence[int] | None = None) -> FeatureDistances:
    """Give the squared distances [Q, G] between the fused unit features of all queries and all gallery triples.

    `present`: the branches whose modality is used (Table 9 leaves some out); None uses all of them.
    """
    return FeatureDistances(
        fused_features(features.query, present), fused_features(features.gallery, present)
    )


def fused_features(table: FeatureTable, present: Sequence[int] | None = None) -> Float[np.ndarray, "N F"]:
    """Give the fused unit features of some branches, or of all if `present` is None."""
    if present is None:
        return table.fused
    return np.asarray(unit(concatenate_modalities(jnp.asarray(table.modal[list(present)]))))


def distances_by_subset(
    extract: Extract,
    variables: Variables,
    data: PreparedDataset,
    subsets: Sequence[Sequence[str]],
    *,
    present: Sequence[str],
    batch_size: int,
    mesh: Mesh,
) -> dict[str, FeatureDistances]:
    """Extract features once and give the distances [Q, G] by each subset of the modalities that are present (Table 9).

    The result is by name: "RN", "R", … in the order of `subsets`.
    """
    features = extract_query_gallery(extract, variables, data, batch_size=batch_size, mesh=mesh)
    places = {name: place for place, name in enumerate(present)}
    return {
        "".join(subset): retrieval_distances(features, present=[places[each] for each in subset])
        for subset in subsets
    }


def rank(distances: AnyDistances, data: PreparedDataset) -> RankingResult:
    """Compute mAP, CMC and mINP by distances [Q, G], without the gallery triples that the data set's rule removes."""
    return evaluate_ranking(distances, **who_and_where(data), group_name=data.removal)


def who_and_where(data: PreparedDataset) -> dict[str, Any]:
    """Give the pids of queries and gallery, and the groups that the rule compares, by the keywords of a ranking."""
    return {
        "query_pids": data.query.pids,
        "gallery_pids": data.gallery.pids,
        "query_groups": data.query.groups,
        "gallery_groups": data.gallery.groups,
    }
