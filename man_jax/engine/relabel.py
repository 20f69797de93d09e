"""The start of an epoch of adaptation: features → clusters → pseudo-labels → banks, heads, memory."""

import zlib
from collections.abc import Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32

from man_jax.clustering.kmeans import kmeans
from man_jax.clustering.pseudo_labels import (
    FUSION,
    PseudoLabels,
    Rule,
    align_pseudo_labels,
    clustering_accuracy,
)
from man_jax.engine.extract import FeatureTable
from man_jax.engine.state import Banks, TrainState
from man_jax.memories.cross_batch import flush
from man_jax.memories.prototypes import Bank, Weights, class_prototypes
from man_jax.runs.multi_process import of_first_process

LabelSource = Literal["cpa", "fusion", "truth"]
HeadNorm = Literal["matched", "unit"]


def cluster_target(
    features: FeatureTable, *, num_clusters: int, seed: int, epoch: int, **kmeans_settings
) -> Int32[np.ndarray, "L N"]:
    """Labels of the four clusterings R, N, T, F, each numbered on its own (Eq. 1–3); the same on all processes."""
    stream = jax.random.fold_in(jax.random.key(seed), zlib.crc32(b"kmeans"))
    tables = [*features.modal, features.fused]
    keys = jax.random.split(jax.random.fold_in(stream, epoch), len(tables))
    results = [
        kmeans(jnp.asarray(table), num_clusters=num_clusters, key=key, **kmeans_settings)
        for table, key in zip(tables, keys, strict=True)
    ]
    return of_first_process(np.stack([np.asarray(result.labels) for result in results]))


def settle_target(
    clusters: Int32[np.ndarray, "L N"],
    *,
    num_clusters: int,
    labels: LabelSource,
    rule: Rule,
    threshold: float,
) -> PseudoLabels:
    """Pseudo-labels by CPA, or, for the rows of Table 4, the plain clusters of the fusion, all reliable."""
    aligned = align_pseudo_labels(
        clusters[:FUSION], clusters[FUSION], num_clusters=num_clusters, rule=rule, threshold=threshold
    )
    if labels == "cpa":
        return aligned
    return aligned._replace(labels=aligned.aligned[FUSION], reliable=np.ones_like(aligned.reliable))


def label_report(pseudo: PseudoLabels, pids: np.ndarray, *, modalities: Sequence[str]) -> dict[str, float]:
    """Accuracy of the labels of each modality, of the settled ones, and of the reliable ones (Fig. 3, 6).

    A report only: the true identities are read here and nowhere in training. Triples without one (a negative
    pid) do not count; if that is all of them, no accuracy is reported.
    """
    kept, known = pseudo.reliable, pids >= 0
    report = {}
    if known.any():
        report = {
            f"labels/accuracy_{name}": clustering_accuracy(labels[known], pids[known])
            for name, labels in zip([*modalities, "F"], pseudo.aligned, strict=True)
        }
        both = kept & known
        report["labels/accuracy_settled"] = clustering_accuracy(pseudo.labels[known], pids[known])
        report["labels/accuracy_reliable"] = clustering_accuracy(pseudo.labels[both], pids[both])
    report["labels/reliable"] = float(kept.mean())
    report["labels/clusters_valid"] = float(len(np.unique(pseudo.labels[kept])))
    return report


# Here and not in make_bank: a function jitted anew in each epoch is compiled anew in each epoch.
_compiled_prototypes = jax.jit(class_prototypes, static_argnames=("num_classes", "weights", "temperature"))


def make_bank(
    features: FeatureTable,
    labels: np.ndarray,
    *,
    num_classes: int,
    mask: np.ndarray,
    weights: Weights,
    temperature: float,
) -> Bank:
    """The prototypes of one domain at the start of an epoch (Eq. 7–10)."""
    prototypes = partial(
        _compiled_prototypes, num_classes=num_classes, weights=weights, temperature=temperature
    )

    def of_modality(rows):
        return prototypes(rows, labels, mask=mask)

    modal, valid = jax.vmap(of_modality)(features.modal)
    return Bank(modal=modal, fused=prototypes(features.fused, labels, mask=mask)[0], valid=valid[0])


def begin_epoch(state: TrainState, banks: Banks, *, head_norm: HeadNorm = "matched") -> TrainState:
    """New banks, new target columns in the heads, the memory's target half forgotten.

    The columns take the direction of the valid target prototypes, and their optimiser moments become zero, since
    the clusters changed their meaning. `matched` gives them the mean norm of the source's columns; `unit` leaves
    them at 1, where learnt source columns are shorter or longer and one domain's classes outweigh the other's.
    """
    num_source = banks.source.valid.shape[0]
    rows = {"modal": banks.target.modal, "fused": banks.target.fused}

    def set_target_rows(name: str, kernel: Float[Array, "... D L"]):
        prototypes = jnp.swapaxes(rows[name], -1, -2)
        if head_norm == "matched":
            norms = jnp.linalg.norm(kernel[..., :num_source], axis=-2, keepdims=True)
            prototypes = prototypes * jnp.mean(norms, axis=-1, keepdims=True)
        kept = kernel[..., num_source:]
        return kernel.at[..., num_source:].set(jnp.where(banks.target.valid, prototypes, kept))

    def forget_target_rows(path, leaf):
        names = [getattr(entry, "key", None) for entry in path]
        return leaf.at[..., num_source:].set(0.0) if "heads" in names else leaf

    heads = {
        name: {"kernel": set_target_rows(name, head["kernel"])}
        for name, head in state.params["heads"].items()
    }
    return state.replace(
        banks=banks,
        params={**state.params, "heads": heads},
        opt_state=jax.tree_util.tree_map_with_path(forget_target_rows, state.opt_state),
        memory=flush(state.memory, first_label=num_source),
    )


def true_labels(identities: Int32[np.ndarray, " N"], *, num_modalities: int) -> PseudoLabels:
    """The oracle of Table 4: the true identities in place of pseudo-labels, all of them reliable."""
    everyone = np.ones(len(identities), bool)
    agreed = np.broadcast_to(identities, (num_modalities + 1, len(identities)))
    return PseudoLabels(identities, everyone, everyone.astype(np.float64), agreed)
