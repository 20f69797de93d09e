"""Choose the queries of a ranking picture, and write what stands beside them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_pipelines.session.disk import writing
from data_pipelines.storing.prepared import PreparedDataset, PreparedSplit
from man_jax.reporting.ranking_lists import RankingList, ranking_figure
from man_jax.reporting.save_figure import shorten
from man_jax.retrieval.distances import AnyDistances, as_rows
from man_jax.retrieval.ranking import average_precisions, top_matches

NUM_QUERIES, NUM_MATCHES = 6, 10
KINDS = ("best", "drawn", "worst")
LONGEST_NUMBER, LONGEST_NAME = 9, 40
"""The most letters of a number below a match, and of a file's name in a heading."""


def draw_rankings(
    distances: AnyDistances, data: PreparedDataset, path: Path, *, seed: int, title: str = ""
) -> None:
    """Draw the best and the worst queries by AP and some drawn by seed, with their nearest gallery triples (Fig. 9).

    Args:
        distances: squared distances [Q, G] of Unit features, which are twice the cosine distance.
        data: whose queries and gallery these are; its rule says which gallery triples are removed.
        path: where the PNG goes.
        seed: of the drawn queries.
        title: the run, its data and its weights.
    """
    query, gallery = data.query, data.gallery
    precisions = average_precisions(distances, **ranking_labels(query, gallery, np.arange(len(query))))
    chosen = choose_queries(precisions, seed=seed)
    indices = np.array([index for _, _, index in chosen])
    rows = as_rows(distances)[indices]
    matches = top_matches(rows, **ranking_labels(query, gallery, indices), k=NUM_MATCHES)
    num_scored = int(np.isfinite(precisions).sum())
    lists = []
    for (kind, place, index), own, row in zip(chosen, rows, matches, strict=True):
        found = row[row >= 0]
        lists.append(
            RankingList(
                heading=heading(kind, place, precisions[index], query.names[index], num_scored),
                query=query[index],
                query_lines=identity_lines(query, index, data.removal),
                matches=gallery.read(found) if len(found) else np.empty((0, *query[index].shape), np.uint8),
                match_lines=[[*identity_lines(gallery, j, data.removal), f"{own[j] / 2:.3f}"] for j in found],
                correct=(gallery.pids[found] == query.pids[index]).tolist(),
            )
        )
    about = _about(precisions, data)
    with writing(path):
        ranking_figure(lists, path, modalities=data.modalities, title=f"{title}; {about}" if title else about)


def choose_queries(
    precisions: np.ndarray, *, seed: int, number: int = NUM_QUERIES
) -> list[tuple[str, int, int]]:
    """Choose `number` queries, or all if there are fewer: the best and worst by AP, and some drawn by seed.

    Queries of equal AP stay in their order. A query without AP (NaN) can only be drawn. If there are few queries, a
    best one is chosen first, then a worst one, then a drawn one.

    Returns (kind, place, index) of each; `place` counts from the best or the worst.
    """
    ascending = np.argsort(precisions, kind="stable")
    scored = ascending[np.isfinite(precisions[ascending])]
    descending = np.argsort(-precisions, kind="stable")
    orders = {
        "best": list(descending[np.isfinite(precisions[descending])]),
        "worst": list(scored),
        "drawn": list(np.random.default_rng(seed).permutation(len(precisions))),
    }
    chosen: dict[str, list[int]] = {kind: [] for kind in KINDS}
    taken: set[int] = set()
    for turn in range(number):
        kind = ("best", "worst", "drawn")[turn % 3]
        free = [int(index) for index in orders[kind] if index not in taken]
        if not free and kind != "drawn":
            kind, free = "drawn", [int(index) for index in orders["drawn"] if index not in taken]
        if free:
            chosen[kind].append(free[0])
            taken.add(free[0])
    chosen["drawn"].sort()
    numbered = {kind: list(enumerate(indices, start=1)) for kind, indices in chosen.items()}
    numbered["worst"].reverse()  # the picture goes from the best to the worst
    return [(kind, place, index) for kind in KINDS for place, index in numbered[kind]]


def _about(precisions: np.ndarray, data: PreparedDataset) -> str:
    """Describe the ranking: its mAP, the number of queries, and the rule by which gallery triples are removed."""
    scored = precisions[np.isfinite(precisions)]
    worth = f"mAP {100 * scored.mean():.1f} %" if len(scored) else "no query has a match"
    left_out = {
        "camid": "those of the query's identity and camera are",
        "scene": "those of the query's identity and scene are",
        "none": "none is",
    }
    return (
        f"{worth}, {len(scored)} scored queries; {len(data.gallery)} gallery triples, of which "
        f"{left_out[data.removal]} left out"
    )


def ranking_labels(
    query: PreparedSplit, gallery: PreparedSplit, indices: np.ndarray
) -> dict[str, np.ndarray]:
    """Take the labels that a ranking of the queries `indices` needs, by the names of its arguments."""
    return {
        "query_pids": query.pids[indices],
        "gallery_pids": gallery.pids,
        "query_groups": query.groups[indices],
        "gallery_groups": gallery.groups,
    }


def heading(kind: str, place: int, precision: float, name: str, num_scored: int) -> str:
    """Write a heading, such as "best 2 of 120: AP 98.2 %, 0012_c3.jpg"."""
    told = f"AP {100 * precision:.1f} %" if np.isfinite(precision) else "no match in the gallery"
    of = f"{kind} by seed" if kind == "drawn" else f"{kind} {place} of {num_scored}"
    return f"{of}: {told}, {shorten(name, LONGEST_NAME)}"


def identity_lines(split: PreparedSplit, index: int, removal: str) -> Sequence[str]:
    """Write the pid and the camera of a triple, and its scene where the removal rule compares scenes."""
    numbers = {"pid": split.pids[index], "cam": split.camids[index]}
    if removal == "scene":
        numbers["scene"] = split.scenes[index]
    return [f"{name} {shorten(str(number), LONGEST_NUMBER)}" for name, number in numbers.items()]
