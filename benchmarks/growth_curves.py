"""The subjects whose cost is measured as their work grows, each with what its cost should follow."""

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import ranking_speed
from benchmarks.clustering_cost import SETTINGS
from benchmarks.reranking_cost import drawn
from benchmarks.step_speed import OurStep, configured
from data_pipelines.storing.prepared import PreparedSplit
from man_jax.clustering.jaccard import jaccard_distances
from man_jax.clustering.kmeans import kmeans
from man_jax.clustering.target_clusters import cluster_distances
from man_jax.engine.build import build_model, build_normalization
from man_jax.engine.extract import extract_table, make_extract
from man_jax.memories.prototypes import Bank, move_bank
from man_jax.retrieval.distances import query_gallery_distances
from man_jax.sharding import make_mesh, put_replicated

LLOYD = 2
"""Rounds of K-means, which none of the sizes needs fewer of, so that their number is not measured as well."""
DIM, CLUSTERS, SAMPLES, BATCH = 1024, 64, 4096, 64


class Curve(NamedTuple):
    """A subject: the sizes at which it is measured, and the function of the size that its cost follows in theory."""

    title: str
    axis: str
    sizes: Sequence[int]
    theory: Callable[[int], float]
    formula: str
    prepare: Callable[[int], Callable[[], Any]]
    """From a size to what is timed."""


def linear(size: int) -> float:
    """Give a cost that is proportional to the size."""
    return float(size)


def step(triples: int) -> Callable[[], Any]:
    """Prepare the demonstration's adaptation step."""
    return OurStep(configured("demo", "", triples=triples), adaptation=True)


def extraction(count: int) -> Callable[[], Any]:
    """Prepare the extraction of so many triples by the demonstration's network."""
    config, (extract, variables) = configured("demo", "", triples=32), _network()
    size = tuple(config.data.image_size)
    images = np.random.default_rng(0).integers(0, 256, (count, 3, *size, 3), np.uint8)
    nobody = np.zeros(count, np.int64)
    split = PreparedSplit(nobody, nobody, nobody, [""] * count, "camid", images)
    kind: Any = {"batch_size": BATCH, "mesh": make_mesh(), "description": "features"}
    return lambda: extract_table(extract, variables, split, **kind)


@cache
def _network() -> tuple[Any, Any]:
    """Build the demonstration's network once for all sizes: what extracts by it, and its variables."""
    config, mesh = configured("demo", "", triples=32), make_mesh()
    model = build_model(config.model, num_classes=128)
    start = jax.jit(lambda: model.init(jax.random.key(0), tuple(config.data.image_size)))
    return make_extract(model, build_normalization(config), mesh), put_replicated(start(), mesh)


def clustering(samples: int, clusters: int) -> Callable[[], Any]:
    """Prepare K-means of so many samples."""
    features = jnp.asarray(drawn(samples, DIM, clusters))
    settings: Any = {"max_iterations": LLOYD, "tolerance": -1.0, "key": jax.random.key(0)}
    return lambda: jax.block_until_ready(kmeans(features, num_clusters=clusters, **settings))


def linkage(samples: int) -> Callable[[], Any]:
    """Prepare average linkage of so many samples on their Jaccard distances."""
    features = drawn(samples, DIM, CLUSTERS)
    rest: Any = {name: SETTINGS[name] for name in ("eps", "min_samples", "cut")}

    def run() -> Any:
        distances = jaccard_distances(features, k1=SETTINGS["k1"], k2=SETTINGS["k2"])
        return cluster_distances(distances, clusters="linkage", count="given", num_clusters=CLUSTERS, **rest)

    return run


def ranking(entries: int) -> Callable[[], Any]:
    """Prepare the ranking of so many distances, of four times as many gallery triples as queries."""
    queries = math.isqrt(entries // 4)
    found = ranking_speed.draw(queries, 4 * queries, 256, max(2, queries // 4))
    distances = query_gallery_distances(found.query, found.gallery)
    return partial(ranking_speed.our_figures, distances, found.who)


def bank(classes: int) -> Callable[[], Any]:
    """Prepare the update of a bank of so many classes from a batch."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        return jnp.asarray(rng.standard_normal(shape, np.float32))

    held = Bank(draw(3, classes, DIM), draw(classes, 3 * DIM), jnp.ones(classes, bool))
    labels = jnp.asarray(rng.integers(0, classes, BATCH))
    batch = (draw(3, BATCH, DIM), draw(BATCH, 3 * DIM), labels)
    settings: Any = {"mask": jnp.ones(BATCH, bool), "momentum": 0.99, "form": "batch_mean"}
    move = jax.jit(lambda held, *batch: move_bank(held, *batch, **settings))
    return lambda: jax.block_until_ready(move(held, *batch))


def curves() -> dict[str, Curve]:
    """Give all subjects by name."""
    return {
        "step": Curve("Adaptation step", "triples a domain", (8, 16, 32, 64), linear, "B", step),
        "extraction": Curve("Extraction", "triples", (256, 512, 1024, 2048), linear, "N", extraction),
        "kmeans_samples": Curve(
            f"K-means, k = {CLUSTERS}",
            "samples",
            (1024, 2048, 4096, 8192),
            linear,
            "N",
            partial(clustering, clusters=CLUSTERS),
        ),
        "kmeans_clusters": Curve(
            f"K-means, N = {SAMPLES:,}",
            "clusters",
            (32, 64, 128, 256),
            lambda k: k * (2 + math.log(k)),
            "k log k (the seeding)",
            partial(clustering, SAMPLES),
        ),
        "linkage": Curve(
            "Jaccard distances and linkage",
            "samples",
            (512, 1024, 2048, 4096),
            lambda n: float(n) ** 2,
            "N²",
            linkage,
        ),
        "ranking": Curve(
            "Ranking of given distances",
            "queries × gallery",
            (2**20, 2**22, 2**24, 2**26),
            lambda n: n * math.log(2 * math.sqrt(n)),
            "Q G log G",
            ranking,
        ),
        "bank": Curve(
            f"Bank update, batch of {BATCH}", "classes", (512, 1024, 2048, 4096, 8192), linear, "C", bank
        ),
    }
