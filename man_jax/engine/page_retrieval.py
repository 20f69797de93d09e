"""Collect what a page shows of a trained network: ranking lists, cameras, activation maps, features on a plane."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh

from data_pipelines.contact_sheet.strips import strip_url
from data_pipelines.storing.prepared import PreparedDataset, PreparedSplit
from man_jax.engine.activation_maps import activation_maps
from man_jax.engine.extract import extract_table
from man_jax.engine.ranking_picture import heading, identity_lines, ranking_labels
from man_jax.engine.trained_network import TrainedNetwork
from man_jax.reporting.activation import overlay
from man_jax.reporting.camera_matrix import draw_camera_matrix
from man_jax.reporting.curves import COLOURS
from man_jax.reporting.embedding import Group, Plane, draw_planes, place_on_plane
from man_jax.reporting.pages.render import figure_url
from man_jax.retrieval.ranking import average_precisions, top_matches

NUM_MATCHES = 10
NUM_ACTIVATIONS = 8
IDENTITIES, TRIPLES = 16, 12
"""How many identities of each domain lie on the plane, and at most how many triples of each."""
MODALITY_NAMES = {"R": "RGB", "N": "NIR", "T": "thermal"}
WORDS = {"camid": "camera", "scene": "scene"}


def list_queries(precisions: np.ndarray, *, number: int, seed: int) -> list[tuple[str, int, int]]:
    """Choose queries: a third the worst by AP, a third the best, the rest drawn by `seed`; none twice.

    Returns (kind, place, index) of each, the worst first; `place` counts from the worst or the best. A query without AP
    (NaN) can only be drawn.
    """
    order = np.argsort(precisions, kind="stable")
    scored = order[np.isfinite(precisions[order])]
    most = min(number // 3, len(scored) // 2)
    worst, best = scored[:most], scored[len(scored) - most :][::-1]
    rest = np.setdiff1d(np.arange(len(precisions)), [*worst, *best])
    drawn = np.sort(np.random.default_rng(seed).permutation(rest)[: number - 2 * most])
    kinds = {"worst": worst, "best": best, "drawn": drawn}
    return [
        (kind, place, int(index))
        for kind, found in kinds.items()
        for place, index in enumerate(found, start=1)
    ]


def ranking_lists(distances: np.ndarray, data: PreparedDataset, *, number: int, seed: int) -> dict[str, Any]:
    """Collect the lists of some queries with their best matches.

    `distances` [Q, G]: squared ones of unit features, which are twice the cosine distance.
    """
    query, gallery = data.query, data.gallery
    precisions = average_precisions(distances, **ranking_labels(query, gallery, np.arange(len(query))))
    chosen = list_queries(precisions, number=number, seed=seed)
    indices = np.array([index for _, _, index in chosen])
    matches = top_matches(distances[indices], **ranking_labels(query, gallery, indices), k=NUM_MATCHES)
    num_scored = int(np.isfinite(precisions).sum())
    lists = []
    for (kind, place, index), row in zip(chosen, matches, strict=True):
        found = [_strip(gallery, int(j), data) for j in row if j >= 0]
        for match, j in zip(found, row, strict=False):
            match["right"] = bool(gallery.pids[j] == query.pids[index])
            match["mark"] = "✓" if match["right"] else "✗"
            match["lines"] = [*match["lines"], f"{distances[index, j] / 2:.3f}"]
        lists.append(
            {
                "heading": heading(kind, place, precisions[index], query.names[index], num_scored),
                "query": _strip(query, index, data) | {"mark": "query"},
                "matches": found,
            }
        )
    removed = WORDS[data.removal]
    about = f"Gallery triples of the query's identity and {removed} are left out, as the data set's protocol says."
    return {"missing": "", "about": about, "lists": lists}


def camera_picture(distances: np.ndarray, data: PreparedDataset) -> dict[str, Any]:
    """Draw the mAP from each camera of the queries to each camera of the gallery."""
    query, gallery = data.query, data.gallery
    labels = ranking_labels(query, gallery, np.arange(len(query)))
    of_query, of_gallery = np.unique(query.camids), np.unique(gallery.camids)
    worth = np.full((len(of_query), len(of_gallery)), np.nan)
    counts = np.zeros(worth.shape, int)
    for j, camera in enumerate(of_gallery):
        there = gallery.camids == camera
        sides = {
            name: value[there] if name.startswith("gallery") else value for name, value in labels.items()
        }
        precisions = average_precisions(distances[:, there], **sides)
        for i, own in enumerate(of_query):
            scored = precisions[(query.camids == own) & np.isfinite(precisions)]
            counts[i, j] = len(scored)
            if len(scored):
                worth[i, j] = scored.mean()
    if not counts.any():
        return {"missing": "No query has a match in a single camera of the gallery."}
    figure = draw_camera_matrix(
        worth, counts, query_cameras=of_query.tolist(), gallery_cameras=of_gallery.tolist()
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


def plane_picture(
    network: TrainedNetwork,
    domains: Mapping[str, PreparedDataset],
    *,
    batch_size: int,
    mesh: Mesh,
    seed: int,
) -> dict[str, Any]:
    """Draw fused features of both domains, and those of each modality of the target, on the planes of t-SNE.

    A prototype is the mean of an identity's features. The plane has `IDENTITIES` identities of each domain, drawn by
    `seed`, with at most `TRIPLES` triples of each.
    """
    tables, pids = {}, {}
    for name, data in domains.items():
        split = data.train.only(_some_triples(data.train, seed))
        tables[name] = extract_table(
            network.extract,
            network.variables,
            split,
            batch_size=batch_size,
            mesh=mesh,
            description=f"features of {name} for the plane",
        )
        pids[name] = split.pids
    modalities = [MODALITY_NAMES[each] for each in domains["target"].modalities]
    planes = [*_domain_planes(tables, pids, seed), _modality_plane(tables["target"].modal, modalities, seed)]
    about = (
        f"t-SNE (seed {seed}) of {IDENTITIES} identities of each domain drawn by the seed, at most {TRIPLES} training "
        f"triples of each. A star is a prototype: the mean of an identity's features. Neighbours in the network's "
        f"space are neighbours here; the distances between groups mean nothing."
    )
    return {"missing": "", "about": about, "picture": figure_url(draw_planes(planes))}


def _some_triples(split: PreparedSplit, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pids = rng.permutation(np.unique(split.pids[split.pids >= 0]))[:IDENTITIES]
    if not len(pids):  # an unlabelled set: any triples
        return np.sort(rng.permutation(len(split))[: IDENTITIES * TRIPLES])
    return np.concatenate([rng.permutation(np.flatnonzero(split.pids == pid))[:TRIPLES] for pid in pids])


def _domain_planes(tables: Mapping[str, Any], pids: Mapping[str, np.ndarray], seed: int) -> list[Plane]:
    """Place both domains' fused features and prototypes on one plane, and colour it by domain and by identity."""
    rows, domain, identity, is_prototype = [], [], [], []
    for name, table in tables.items():
        rows.append(table.fused)
        domain += [name] * len(table.fused)
        identity += pids[name].tolist()
        is_prototype += [False] * len(table.fused)
        for pid in np.unique(pids[name][pids[name] >= 0]):
            mean = table.fused[pids[name] == pid].mean(axis=0)
            rows.append((mean / np.linalg.norm(mean))[None])
            domain.append(name)
            identity.append(int(pid))
            is_prototype.append(True)
    places = place_on_plane(np.concatenate(rows), seed=seed)
    domains, identities, prototypes = np.array(domain), np.array(identity), np.array(is_prototype)
    by_domain = [
        group
        for name, colour in zip(tables, COLOURS, strict=False)
        for group in (
            Group(name, (domains == name) & ~prototypes, colour),
            Group(f"{name}, prototypes", (domains == name) & prototypes, colour, "*", large=True),
        )
    ]
    target = domains == "target"
    by_identity = [Group("source", ~target & ~prototypes, "#d0d0d0")]
    for number, pid in enumerate(np.unique(identities[target & (identities >= 0)])):
        colour, marker = COLOURS[number % len(COLOURS)], "osD"[number // len(COLOURS) % 3]
        mine = target & (identities == pid)
        by_identity += [
            Group("", mine & ~prototypes, colour, marker),
            Group("", mine & prototypes, colour, "*", large=True),
        ]
    return [
        Plane("fused features, by domain", places, by_domain),
        Plane("the same plane, by identity of the target", places, by_identity),
    ]


def _modality_plane(modal: np.ndarray, names: Sequence[str], seed: int) -> Plane:
    places = place_on_plane(np.concatenate(list(modal)), seed=seed)
    of = np.repeat(np.arange(len(modal)), modal.shape[1])
    groups = [
        Group(name, of == m, colour) for m, (name, colour) in enumerate(zip(names, COLOURS, strict=False))
    ]
    return Plane("the target's features of each modality", places, groups)


def _strip(split: PreparedSplit, index: int, data: PreparedDataset) -> dict[str, Any]:
    return {
        "url": strip_url(split[index]),
        "name": split.names[index],
        "lines": list(identity_lines(split, index, data.removal)),
        "mark": "",
    }
