"""Make and check the labels of an epoch, and report how right they are."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

from man_jax.clustering.pseudo_labels import clustering_accuracy
from man_jax.config import ConfigError
from man_jax.frame import Labels


def known_labels(identities: Int32[np.ndarray, " N"]) -> Labels:
    """Take true identities as labels, all of weight 1; this is how the source is labelled."""
    everyone = np.ones(len(identities), np.float32)
    return Labels(identities[:, None], everyone, int(identities.max(initial=-1)) + 1, continued=True)


def oracle_labels(identities: Int32[np.ndarray, " N"], *, modalities: Sequence[str], epoch: int) -> Labels:
    """Take the target's true identities as labels (the oracle of Table 4); they mean the same in all epochs."""
    clusterings = dict.fromkeys([*modalities, "F"], identities)
    return known_labels(identities)._replace(continued=epoch > 0, clusterings=clusterings)


def check_labels(labels: Labels, *, capacity: int, num_triples: int, method: str) -> None:
    """Check that the labels that a method returned fit the state.

    Raises:
        ValueError: they do not, which is a mistake in the method's file; the message says what is wrong.
    """
    told = f"label() of the method {method}"
    if labels.labels.ndim != 2 or len(labels.labels) != num_triples or labels.weight.shape != (num_triples,):
        raise ValueError(
            f"{told}: labels are {labels.labels.shape} and weights {labels.weight.shape}; return [N, L] and [N] for "
            f"the N = {num_triples} triples"
        )
    if not 0 <= labels.drawn_by < labels.labels.shape[1]:
        raise ValueError(
            f"{told}: drawn_by is {labels.drawn_by}, and the labels have {labels.labels.shape[1]} columns; name one"
        )
    largest = labels.labels[:, 0].max(initial=-1)
    if labels.num_clusters > capacity or largest >= labels.num_clusters:
        raise ValueError(
            f"{told}: {labels.num_clusters} clusters with labels up to {largest}, and capacity() "
            f"is {capacity}; number them from 0 and raise the capacity"
        )


def label_report(labels: Labels, pids: np.ndarray) -> dict[str, float]:
    """Report the accuracy of each clustering, of the labels, and of the labels of weight above 0 (Fig. 3, 6).

    This is only a report. Training never reads the target's true identities. Triples without an identity (a negative
    pid) do not count; if no triple has one, no accuracy is reported. A triple in no cluster counts as a cluster of its
    own.
    """
    settled = labels.labels[:, 0]
    kept, known = labels.weight > 0, pids >= 0
    report = {}
    if known.any():
        report = {
            f"labels/accuracy_{name}": clustering_accuracy(_alone(each)[known], pids[known])
            for name, each in labels.clusterings.items()
        }
        both = kept & known
        report["labels/accuracy_settled"] = clustering_accuracy(_alone(settled)[known], pids[known])
        report["labels/accuracy_reliable"] = clustering_accuracy(settled[both], pids[both])
    report["labels/reliable"] = float(kept.mean())
    report["labels/clusters_valid"] = float(len(np.unique(settled[kept])))
    if labels.estimated:
        report["labels/clusters"] = float(len(np.unique(settled[settled >= 0])))
        if known.any():
            report["labels/identities"] = float(len(np.unique(pids[known])))
    return report


def sampled_labels(
    labels: Labels, *, reliable_only: bool, num_identities: int, epoch: int
) -> Int32[np.ndarray, " N"]:
    """Give the labels by which batches are drawn; a triple with −1 is not drawn.

    Raises:
        ConfigError: there are fewer clusters to draw from than a batch holds.
    """
    drawn = labels.labels[:, labels.drawn_by]
    if reliable_only:
        drawn = np.where(labels.weight > 0, drawn, -1)
    num_labels = len(np.unique(drawn[drawn >= 0]))
    if num_labels < num_identities:
        raise ConfigError(
            f"epoch {epoch + 1}: {num_labels} clusters can be sampled, but config.batch.identities is "
            f"{num_identities}; lower that, let the method keep more labels, or set "
            f"config.adapt.sampling to all"
        )
    return drawn


def _alone(labels: Int32[np.ndarray, " N"]) -> Int32[np.ndarray, " N"]:
    """Give every triple in no cluster a number of its own."""
    outside = labels < 0
    return np.where(outside, labels.max(initial=-1) + np.cumsum(outside), labels)
