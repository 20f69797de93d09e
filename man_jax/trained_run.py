"""Use a trained run from Python: take features, rank a gallery, evaluate on a data set.

    import man_jax

    run = man_jax.open_run("runs/demo")
    gallery = run.features("photos")                 # a folder with R/, N/ and T/
    ranking = run.rank([("r.jpg", "n.jpg", "t.jpg")], gallery, k=5)

The training data are not needed. docs/USING.md has more examples.
"""

import os
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from jaxtyping import Float32, Int64

from data_pipelines.session.command_line import expand_home
from data_pipelines.storing.unprepared import UnpreparedTriples
from man_jax.config import Config, ConfigError, check_config
from man_jax.engine.build import build_model
from man_jax.engine.evaluation import distances_by_subset, rank
from man_jax.engine.run_data import Modalities, open_triples, prepare_test
from man_jax.engine.trained_network import TrainedNetwork, network_of, read_weights, variables_digest
from man_jax.engine.unprepared_features import extract_features
from man_jax.networks.three_branch import Variables, only_branches
from man_jax.retrieval.feature_file import FeatureFile, holds_features, read_features
from man_jax.retrieval.gallery import check_comparable, with_unit_rows
from man_jax.retrieval.index import nearest_rows
from man_jax.runs.past_config import run_config
from man_jax.runs.versions import versions
from man_jax.sharding import make_mesh


class Ranking(NamedTuple):
    """The k gallery triples that are nearest to each of Q queries, nearest first."""

    indices: Int64[np.ndarray, "Q k"]
    """Rows of the gallery."""
    distances: Float32[np.ndarray, "Q k"]
    """Cosine distances, from 0 to 2: 1 − q·g of unit features."""
    query: FeatureFile
    gallery: FeatureFile

    @property
    def paths(self) -> list[list[tuple[str, ...]]]:
        """The paths of the images of each match, one for each modality."""
        return [[self.gallery.paths[index] for index in row] for row in self.indices]


def open_run(path: str | os.PathLike[str], *, pretrained: bool = False) -> "TrainedRun":
    """Open the work directory of a run, finished or not, for features, rankings and evaluations.

        run = man_jax.open_run("runs/demo")

    Args:
        path: the work directory; it needs its `config.json` and its weights.
        pretrained: take the weights before adaptation, not those of the last checkpoint.

    Raises:
        WorkdirError: there is no run.
        ConfigError: the run left no such weights, or they are damaged or of another configuration.
    """
    workdir = Path(expand_home(os.fspath(path))).absolute()
    config = run_config(workdir)
    check_config(config, num_devices=1)
    variables, description = read_weights(workdir, config, pretrained=pretrained or not config.adapt.epochs)
    return TrainedRun(workdir, config, variables, description)


class TrainedRun:
    """A trained network with the configuration of its run; `open_run` makes it."""

    def __init__(self, path: Path, config: Config, variables: Variables, description: str):
        self.path = path
        self.config = config
        self.description = description
        """Which weights are open, such as "step 300"."""
        self._variables = variables
        self._networks: dict[tuple[str, ...], TrainedNetwork] = {}

    def __repr__(self) -> str:
        height, width = self.config.data.image_size
        return f"<run {self.path}, {self.description}, {''.join(self.modalities)}, {height}x{width}>"

    @property
    def modalities(self) -> tuple[str, ...]:
        """The letters of the modalities that the network has branches for."""
        return tuple(self.config.model.modalities)

    def features(
        self,
        triples: Any,
        modalities: Modalities = None,
        *,
        dataset: str | None = None,
        split: str | None = None,
        deep_range: tuple[int, int] | None = None,
        batch_size: int | None = None,
    ) -> FeatureFile:
        """Extract the unit features [N, F] of triples, in their order.

            run.features("photos")                                      # a folder, or a table of paths
            run.features([("1_rgb.jpg", "1_nir.png", "1_tir.png")])     # tuples of paths, images or arrays
            run.features(array)                                         # uint8 [N, M, H, W, 3] of any size
            run.features("photos", modalities="RN")                     # some modalities only

        The images are resized and normalised as in the evaluation of the run.

        Args:
            triples: a folder in the layout of any data set, or with `R/`, `N/` and `T/`; a table, CSV or Parquet, with
                columns of paths `R`, `N`, `T`; a sequence of tuples of images, each a path, an image of Pillow or an
                array uint8; or an array uint8 [N, M, H, W, 3]. The images of a tuple are in the order R, N, T.
            modalities: which of the run's modalities to use; None: all that a folder or table has.
            dataset: the name of the data set whose layout a folder has, if it has that of several.
            split: "train", "query" or "gallery" of a folder or table; None: all triples, each once.
            deep_range: the raw values that become 0 and 255 in images of more than 8 bits; the target's if None.
            batch_size: how many triples are computed at once; that of the run's evaluation if None.

        Raises:
            DataError: there is no triple, or an image is missing or cannot be used; before any computing.
            ConfigError: the run lacks a modality, or the batch size is not positive.
        """
        size = self._batch_size(batch_size)
        if not isinstance(triples, UnpreparedTriples):
            triples = open_triples(
                self.config, triples, modalities, dataset=dataset, split=split, deep_range=deep_range
            )
        found = extract_features(
            self.network(triples.modalities),
            triples,
            batch_size=size,
            mesh=self.mesh,
        )
        rate = len(triples) / max(found.seconds, 1e-9)
        logging.info("%d triples in %.1f s: %.4g triples/s", len(triples), found.seconds, rate)
        about = self.about | triples.about
        return FeatureFile(
            found.features, triples.paths, triples.modalities, triples.pids, triples.camids, about
        )

    def rank(self, query: Any, gallery: Any, k: int = 10, modalities: Modalities = None) -> Ranking:
        """Find the k gallery triples that are nearest to each query, and their distances.

            ranking = run.rank([("r.jpg", "n.jpg", "t.jpg")], "photos", k=5)
            ranking.paths[0]        # the images of the five best matches
            ranking.distances[0]

        No triple is left out: a query that is in the gallery too is its own first match. Fewer than k are found if the
        gallery has fewer.

        Args:
            query: features (`run.features(…)`, or a file that holds them), or triples as `features` takes them.
            gallery: the same.
            k: how many matches.
            modalities: as in `features`, for what is no features yet.

        Raises:
            ConfigError: k is below 1.
            FeatureFileError: the features are of different modalities or weights, or one is not finite.
            DataError: as in `features`.
        """
        if k < 1:
            raise ConfigError(f"k is {k}; at least one match can be asked for")
        query, gallery = (self._as_features(each, modalities) for each in (query, gallery))
        query, gallery = with_unit_rows(query, "the query"), with_unit_rows(gallery, "the gallery")
        check_comparable(query, gallery, ("the query", "the gallery"))
        found = nearest_rows(query.features, gallery.features, k=min(k, len(gallery.features)))
        return Ranking(found.rows, found.distances, query, gallery)

    def evaluate(
        self,
        data: str | os.PathLike[str] | None = None,
        modalities: Modalities = None,
        *,
        dataset: str | None = None,
        deep_range: tuple[int, int] | None = None,
        batch_size: int | None = None,
    ) -> dict[str, float]:
        """Measure mAP, R1, R5, R10 and mINP, in fractions of 1, on a data set's query and gallery.

            run.evaluate()["mAP"]                                   # on the run's own target
            run.evaluate("/data/RGBNT100", modalities="RN")["R1"]

        The set is prepared, once, in the folder that `config.data.prepared` of the run names.

        Args:
            data: a folder or a table with query and gallery; the run's target if None.
            modalities: which of the run's modalities to use; None: all that the data have.
            dataset: the name of the data set; None finds out by the layout, and takes that of the target if in doubt.
            deep_range: as in `features`.
            batch_size: as in `features`.

        Raises:
            DataError: the set has no query, no gallery or no identities, or an image cannot be used.
            ConfigError: the run lacks a modality.
        """
        found = prepare_test(self.config, data, modalities, dataset=dataset, deep_range=deep_range)
        present, network = found.modalities, self.network(found.modalities)
        [distances] = distances_by_subset(
            network.extract,
            network.variables,
            found,
            [present],
            present=present,
            batch_size=self._batch_size(batch_size),
            mesh=self.mesh,
        ).values()
        return rank(distances, found).as_dict()

    @cached_property
    def mesh(self):
        """All devices."""
        return make_mesh()

    @property
    def about(self) -> dict[str, Any]:
        """What a file of features tells of the run and its weights."""
        return {
            "run": str(self.path),
            "experiment": self.config.experiment,
            "method": self.config.method,
            "weights": self.description,
            "image_size": list(self.config.data.image_size),
            "digest": self._digest,
            "version": versions()["man_jax"],
        }

    @cached_property
    def _digest(self) -> str:
        """Compute the digest of all branches."""
        return variables_digest(only_branches(self._variables, range(len(self.modalities))))

    def length(self, present: tuple[str, ...]) -> int:
        """Compute how many numbers a feature of some modalities has."""
        return len(present) * build_model(self.config.model, num_classes=0).dim

    def network(self, present: tuple[str, ...]) -> TrainedNetwork:
        """Give the network with the branches of some modalities; it is compiled once for each choice of them."""
        if present not in self._networks:
            self._networks[present] = network_of(
                self.config, self._variables, self.description, present=present, mesh=self.mesh
            )
        return self._networks[present]

    def _batch_size(self, asked: int | None) -> int:
        """Choose the size of a batch, rounded up so that it fills all devices equally."""
        size = self.config.evaluation.batch_size if asked is None else asked
        if size < 1:
            raise ConfigError(f"batch_size is {size}; it must be at least 1")
        return -(-size // self.mesh.size) * self.mesh.size

    def _as_features(self, given: Any, modalities: Modalities) -> FeatureFile:
        """Take features as they are, read a file of them, or extract those of triples."""
        if isinstance(given, FeatureFile):
            return given
        if isinstance(given, str | os.PathLike):
            path = Path(expand_home(os.fspath(given)))
            # A table of paths may end in .parquet as well.
            if holds_features(path):
                return read_features(path)
        return self.features(given, modalities)
