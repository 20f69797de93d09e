"""The figures of a ranking camera by camera: of each camera's queries, and between each two cameras (NumPy)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from man_jax.retrieval.distances import AnyDistances, as_rows
from man_jax.retrieval.ranking import QueryFigures, RankingResult, judge_queries


class CameraMatrix(NamedTuple):
    """The mAP [I, J] of the queries of camera i, ranked over the gallery entries of camera j alone."""

    query_cameras: list[int]
    gallery_cameras: list[int]
    mean_precision: NDArray[np.floating]
    """NaN where no query has a match; between a camera and itself, that is what the rule of cameras leaves."""
    num_valid: NDArray[np.integer]
    """The queries that each mean is taken over."""


def figures_by_camera(figures: QueryFigures, query_camids: ArrayLike) -> dict[int, RankingResult | None]:
    """Average the figures over the queries of each camera, ranked over the whole gallery; None if none has a match."""
    camids = np.asarray(query_camids)
    found = {}
    for camid in np.unique(camids):
        own = camids == camid
        found[int(camid)] = figures.mean(among=own) if (own & figures.valid).any() else None
    return found


def camera_matrix(
    distances: AnyDistances,
    *,
    query_pids: ArrayLike,
    gallery_pids: ArrayLike,
    query_groups: ArrayLike,
    gallery_groups: ArrayLike,
    query_camids: ArrayLike,
    gallery_camids: ArrayLike,
) -> CameraMatrix:
    """Rank the queries of each camera over the gallery entries of each camera, and average the AP.

    Groups and pids are used as in `evaluate_ranking`; it raises ValueError as that does. The distances of one camera's
    queries are held at a time.
    """
    of_query = {"pids": np.asarray(query_pids), "groups": np.asarray(query_groups)}
    of_gallery = {"pids": np.asarray(gallery_pids), "groups": np.asarray(gallery_groups)}
    query_camids, gallery_camids = np.asarray(query_camids), np.asarray(gallery_camids)
    rows, columns = np.unique(query_camids), np.unique(gallery_camids)
    mean = np.full((len(rows), len(columns)), np.nan)
    num_valid = np.zeros(mean.shape, int)
    for i, row in enumerate(rows):
        own = np.flatnonzero(query_camids == row)
        theirs = as_rows(distances)[own]
        for j, column in enumerate(columns):
            shown = np.flatnonzero(gallery_camids == column)
            figures = judge_queries(
                theirs[:, shown],
                query_pids=of_query["pids"][own],
                gallery_pids=of_gallery["pids"][shown],
                query_groups=of_query["groups"][own],
                gallery_groups=of_gallery["groups"][shown],
            )
            if num := int(figures.valid.sum()):
                mean[i, j], num_valid[i, j] = figures.average_precision[figures.valid].mean(), num
    return CameraMatrix(rows.tolist(), columns.tolist(), mean, num_valid)
