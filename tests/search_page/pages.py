"""A page of drawn triples, served to the tests of its answers, of its server and of its looks."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from man_jax.retrieval.feature_file import FeatureFile
from man_jax.retrieval.gallery import Gallery
from man_jax.search_page.answers import Answers, Searched
from man_jax.search_page.server import PageServer
from tests.retrieval.feature_files import write_triples

PIDS = [1, 1, 2, 2, 3, 3, 4, 4]


def drawn_files(folder: Path) -> tuple[FeatureFile, FeatureFile]:
    """Write images and draw features of a gallery and of four queries; the last query's pid is unknown."""
    query = write_triples(folder, split="query", pids=[1, 2, 3, 4], seed=5)
    return write_triples(folder, split="gallery", pids=PIDS), query._replace(pids=np.array([1, 2, 9, -1]))


def drawn_page(gallery: FeatureFile, query: FeatureFile, **others) -> Searched:
    """Describe a page; uploaded pictures get the feature of the gallery's triple 4."""
    page = Searched(
        gallery=Gallery(gallery),
        queries=query,
        title="gallery.npz",
        summary="8 triples of R, N; exact search",
        k=5,
        aspect=2.0,
        extract=lambda _: gallery.features[4:5],
    )
    return page._replace(**others)


@contextmanager
def served(page: Searched) -> Iterator[PageServer]:
    """Serve a page in another thread while the context lasts."""
    with PageServer(Answers(page)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
