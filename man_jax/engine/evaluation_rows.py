"""Evaluate networks in every way that a user asks for: modalities, query expansion, re-ranking, intervals, cameras."""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from absl import logging
from jax.sharding import Mesh

from data_pipelines.reading.records import Dataset
from data_pipelines.storing.prepared import PreparedDataset
from man_jax.config import ConfigError
from man_jax.engine.evaluation import QueryGallery, extract_query_gallery, fused_features, who_and_where
from man_jax.engine.trained_network import TrainedNetwork
from man_jax.retrieval.bootstrap import Interval, bootstrap_intervals
from man_jax.retrieval.breakdown import CameraMatrix, camera_matrix, figures_by_camera
from man_jax.retrieval.distances import AnyDistances, FeatureDistances
from man_jax.retrieval.query_expansion import expand_queries
from man_jax.retrieval.ranking import RankingResult, judge_queries
from man_jax.retrieval.reranking import rerank
from man_jax.retrieval.settings import Expansion, Reranking


class Asked(NamedTuple):
    """What is asked for besides the figures of each choice of modalities."""

    expansion: Expansion | None = None
    reranking: Reranking | None = None
    draws: int = 0
    """Of the bootstrap; 0: no intervals."""
    breakdown: bool = False
    seed: int = 0

    def check(self, dataset: Dataset) -> None:
        """Check that the queries and the gallery of the data set are enough; ConfigError that names the flag if not."""
        queries, gallery = dataset.splits["query"], dataset.splits["gallery"]
        for flag, settings, number in (
            ("--query_expansion", self.expansion, len(gallery)),
            ("--rerank", self.reranking, len(queries) + len(gallery)),
        ):
            try:
                if settings:
                    settings.check(number)
            except ValueError as error:
                raise ConfigError(f"{flag}: {error}") from None
        if self.draws and len({record.pid for record in queries}) < 2:
            raise ConfigError(
                f"--bootstrap {self.draws}: all queries of {dataset.name} in {dataset.root} are of one identity, and "
                f"identities are drawn; leave the flag out"
            )


class Row(NamedTuple):
    """The figures of a ranking."""

    name: str
    result: RankingResult
    intervals: dict[str, Interval]
    """By figure; empty if they were not asked for."""
    cameras: dict[int, RankingResult | None]
    matrix: CameraMatrix | None


class Evaluated(NamedTuple):
    """What the networks of a run are worth."""

    rows: dict[str, Row]
    """By name; of several networks each name begins with the network's."""
    weights: str
    first: AnyDistances | None
    """The distances [Q, G] of the first row; None in processes that do not measure."""


def evaluate_networks(
    networks: Iterable[TrainedNetwork],
    data: PreparedDataset,
    subsets: Sequence[tuple[str, ...]],
    asked: Asked,
    *,
    present: Sequence[str],
    batch_size: int,
    mesh: Mesh,
) -> Evaluated:
    """Extract features by each network, and measure as asked; all processes get all features, and the first measures.

    Only the first row's distances are kept, because re-ranked ones of a large set take 200 MB.
    """
    found: dict[str, dict[str, Row]] = {}
    first = None
    for network in networks:
        features = extract_query_gallery(
            network.extract, network.variables, data, batch_size=batch_size, mesh=mesh
        )
        rows = found[network.description] = {}
        if jax.process_index():
            continue
        for row, distances in evaluate_rows(features, data, subsets, present=present, asked=asked):
            rows[row.name] = row
            first = distances if first is None else first
    named = {
        row.name if len(found) == 1 else f"{weights}: {row.name}": row
        for weights, rows in found.items()
        for row in rows.values()
    }
    return Evaluated(named, ", ".join(found), first)


def with_single_modalities(
    subsets: Sequence[tuple[str, ...]], present: Sequence[str]
) -> list[tuple[str, ...]]:
    """Add a row for each modality alone, unless there is one."""
    return [*subsets, *((name,) for name in present if (name,) not in subsets)]


def evaluate_rows(
    features: QueryGallery,
    data: PreparedDataset,
    subsets: Sequence[tuple[str, ...]],
    *,
    present: Sequence[str],
    asked: Asked,
) -> Iterator[tuple[Row, AnyDistances]]:
    """Rank by each subset of the modalities that are present, such as ("R", "N"); give the figures and the distances.

    With query expansion or re-ranking a second row follows that of each subset.
    """
    for subset in subsets:
        places = [present.index(name) for name in subset]
        query, gallery = (fused_features(table, places) for table in features)
        name = "+".join(subset)
        distances = FeatureDistances(query, gallery)
        yield _row(name, distances, data, asked), distances
        done = []
        if asked.expansion:
            query = expand_queries(query, gallery, asked.expansion)
            done.append("expanded")
        if asked.reranking:
            logging.info("re-ranking %s: %d queries, %d gallery triples", name, len(query), len(gallery))
            done.append("re-ranked")
        if done:
            distances = (
                rerank(query, gallery, asked.reranking)
                if asked.reranking
                else FeatureDistances(query, gallery)
            )
            yield _row(f"{name} {', '.join(done)}", distances, data, asked), distances


def _row(name: str, distances: AnyDistances, data: PreparedDataset, asked: Asked) -> Row:
    labels = who_and_where(data)
    figures = judge_queries(distances, **labels)
    intervals, cameras, matrix = {}, {}, None
    if asked.draws:
        # Every row draws the same identities, so that rows differ by their rankings only.
        rng = np.random.default_rng([asked.seed, zlib.crc32(b"bootstrap")])
        try:
            intervals = bootstrap_intervals(figures, data.query.pids, draws=asked.draws, rng=rng)
        except ValueError as error:
            raise ConfigError(f"--bootstrap {asked.draws}: {error}; leave the flag out") from None
    if asked.breakdown:
        cameras = figures_by_camera(figures, data.query.camids)
        camids = {"query_camids": data.query.camids, "gallery_camids": data.gallery.camids}
        matrix = camera_matrix(distances, **labels, **camids)
    return Row(name, figures.mean(), intervals, cameras, matrix)
