"""Collect what a page shows of a trained network: ranking lists, cameras, activation maps, features on a plane."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh

from data_pipelines.contact_sheet.strips import strip_url
from data_pipelines.storing.prepared import PreparedDataset, PreparedSplit
from man_jax.engine.activation_maps import activation_maps
from man_jax.engine.extract import extract_table
from man_jax.engine.ranking_picture import (
    NUM_MATCHES,
    choose_queries,
    heading,
    identity_lines,
    ranking_labels,
)
from man_jax.engine.trained_network import TrainedNetwork
from man_jax.reporting.activation import overlay
from man_jax.reporting.camera_matrix import draw_camera_matrix
from man_jax.reporting.embedding import Plane
from man_jax.reporting.feature_planes import choose_triples, domain_planes, modality_plane
from man_jax.reporting.pages.render import figure_url
from man_jax.retrieval.breakdown import camera_matrix
from man_jax.retrieval.distances import AnyDistances, as_rows
from man_jax.retrieval.ranking import average_precisions, top_matches

ORDER = ("worst", "best", "drawn")
NUM_ACTIVATIONS = 8
MODALITY_NAMES = {"R": "RGB", "N": "NIR", "T": "thermal"}
WORDS = {"camid": "camera", "scene": "scene"}


def list_queries(precisions: np.ndarray, *, number: int, seed: int) -> list[tuple[str, int, int]]:
    """Choose queries as `choose_queries` does, and put them in the order of the page: worst, best, drawn."""
    chosen = choose_queries(precisions, number=number, seed=seed)
    return sorted(chosen, key=lambda each: (ORDER.index(each[0]), each[1]))


def ranking_lists(
    distances: AnyDistances, data: PreparedDataset, *, number: int, seed: int
) -> dict[str, Any]:
    """Collect the lists of some queries with their best matches.

    `distances` [Q, G]: squared ones of unit features, which are twice the cosine distance.
    """
    query, gallery = data.query, data.gallery
    precisions = average_precisions(distances, **ranking_labels(query, gallery, np.arange(len(query))))
    chosen = list_queries(precisions, number=number, seed=seed)
    indices = np.array([index for _, _, index in chosen])
    rows = as_rows(distances)[indices]
    matches = top_matches(rows, **ranking_labels(query, gallery, indices), k=NUM_MATCHES)
    num_scored = int(np.isfinite(precisions).sum())
    lists = []
    for (kind, place, index), own, row in zip(chosen, rows, matches, strict=True):
        found = [_strip(gallery, int(j), data) for j in row if j >= 0]
        for match, j in zip(found, row, strict=False):
            match["right"] = bool(gallery.pids[j] == query.pids[index])
            match["mark"] = "✓" if match["right"] else "✗"
            match["lines"] = [*match["lines"], f"{own[j] / 2:.3f}"]
        lists.append(
            {
                "heading": heading(kind, place, precisions[index], query.names[index], num_scored),
                "query": _strip(query, index, data) | {"mark": "query"},
                "matches": found,
            }
        )
    return {"missing": "", "removed": WORDS[data.removal], "lists": lists}


def camera_picture(distances: AnyDistances, data: PreparedDataset) -> dict[str, Any]:
    """Draw the mAP from each camera of the queries to each camera of the gallery."""
    found = camera_matrix(
        distances,
        **ranking_labels(data.query, data.gallery, np.arange(len(data.query))),
        query_camids=data.query.camids,
        gallery_camids=data.gallery.camids,
    )
    if not found.num_valid.any():
        return {"missing": "No query has a match in a single camera of the gallery."}
    figure = draw_camera_matrix(
        found.mean_precision,
        found.num_valid,
        query_cameras=found.query_cameras,
        gallery_cameras=found.gallery_cameras,
    )
    return {"missing": "", "picture": figure_url(figure)}


def activation_pairs(
    network: TrainedNetwork, data: PreparedDataset, indices: Sequence[int]
) -> dict[str, Any]:
    """Lay the strength of the last maps over the images of some queries."""
    images = data.query.read(np.asarray(indices))
    try:
        strengths = activation_maps(network.model, network.normalization, network.variables, images)
    except ValueError as error:
        return {"missing": f"Not drawn: {error}."}
    pairs = []
    for index, triple, strength in zip(indices, images, strengths, strict=True):
        overlaid = np.stack([overlay(image, each) for image, each in zip(triple, strength, strict=True)])
        name = data.query.names[index]
        pairs.append({"url": strip_url(triple), "overlaid": strip_url(overlaid), "name": name})
    return {"missing": "", "pairs": pairs}


def feature_planes(
    network: TrainedNetwork,
    domains: Mapping[str, PreparedDataset],
    *,
    batch_size: int,
    mesh: Mesh,
    seed: int,
) -> list[Plane]:
    """Place fused features of both domains, and those of each modality of the target, on the planes of t-SNE.

    They are of some identities of each domain, which are drawn by `seed`.
    """
    fused, pids, modal = {}, {}, {}
    for name, data in domains.items():
        chosen = choose_triples(data.train.pids, seed=seed)
        table = extract_table(
            network.extract,
            network.variables,
            data.train.only(chosen),
            batch_size=batch_size,
            mesh=mesh,
            description=f"features of {name} for the plane",
        )
        fused[name], modal[name], pids[name] = table.fused, table.modal, data.train.pids[chosen]
    modalities = [MODALITY_NAMES[each] for each in domains["target"].modalities]
    return [*domain_planes(fused, pids, seed=seed), modality_plane(modal["target"], modalities, seed=seed)]


def _strip(split: PreparedSplit, index: int, data: PreparedDataset) -> dict[str, Any]:
    return {
        "url": strip_url(split[index]),
        "name": split.names[index],
        "lines": list(identity_lines(split, index, data.removal)),
        "mark": "",
    }
