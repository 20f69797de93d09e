"""The two phases of a run: pre-training on the source, adaptation to the target (Algorithm 1).

The state's step says which epoch is next, and all randomness is named by (seed, epoch) or (seed, step): what is
resumed is what was interrupted, bit for bit on CPU.
"""

import numpy as np
from absl import logging

from data_pipelines.loading.sampler import identity_plan
from data_pipelines.storing.prepared import PreparedSplit
from man_jax.clustering.pseudo_labels import PseudoLabels
from man_jax.config import ConfigError
from man_jax.engine.domain_data import Domain
from man_jax.engine.epoch import labelled_batches, train_epoch
from man_jax.engine.evaluation import extract_query_gallery, rank, retrieval_distances
from man_jax.engine.extract import FeatureTable, extract_table
from man_jax.engine.relabel import (
    begin_epoch,
    cluster_target,
    label_report,
    make_bank,
    settle_target,
    true_labels,
)
from man_jax.engine.run_parts import Setting
from man_jax.engine.state import Banks, DomainName, TrainState, restart_optimizer
from man_jax.runs.checkpoint import save_pretrained, save_state
from man_jax.runs.metrics import read_history
from man_jax.runs.multi_process import of_first_process
from man_jax.runs.recovery import LOSS
from man_jax.sharding import put_replicated

Row = dict[str, float]

REPORTED = (
    "loss/total",
    "labels/accuracy_F",
    "labels/accuracy_reliable",
    "labels/reliable",
    "eval/mAP",
    "eval/R1",
)
"""What the log says of an epoch; metrics.jsonl has all of it."""


def pretrain(setting: Setting, state: TrainState) -> TrainState:
    """Supervised training on the source (Eq. 21, 22); its end is evaluated on the target as "source only"."""
    config, iterations = setting.config, setting.pretrain_iterations
    for epoch in range(int(state.step) // iterations, setting.pretrain_epochs):
        plan = identity_plan(
            setting.source.identities,
            num_steps=iterations,
            **config.batch,
            seed=config.seed,
            epoch=epoch,
            stream="pretrain/source",
        )
        batches = _batches(setting, setting.source, plan, setting.source.identities)
        title = f"pre-training, epoch {epoch + 1}/{setting.pretrain_epochs}"
        state, row = train_epoch(
            setting.pretrain_step,
            state,
            batches,
            num_steps=iterations,
            description=title,
            phase="pretrain",
            clock=setting.clock,
        )
        if epoch + 1 == setting.pretrain_epochs:
            row |= evaluate(setting, state)
            save_pretrained(setting.workdir, state, setting.about)
        _finish_epoch(setting, state, row, epoch=epoch + 1, phase="pretrain")
    if setting.pretrain_epochs == 0 and of_first_process(np.array(not read_history(setting.workdir))):
        phase = "start" if setting.config.adapt.init_from else "pretrain"
        setting.writer.write(evaluate(setting, state), step=0, epoch=0, phase=phase)
    return state


def adapt(setting: Setting, state: TrainState) -> TrainState:
    """Algorithm 1: each epoch labels the target anew, then trains on both domains (Eq. 1–20, 23).

    Under the US protocol (§4.1.2) it trains on the target alone.
    """
    config = setting.config.adapt
    if int(state.step) == setting.pretrain_steps:
        state = put_replicated(restart_optimizer(state, setting.adapt_optimizer), setting.mesh)
    for epoch in range((int(state.step) - setting.pretrain_steps) // config.iterations, config.epochs):
        state, pseudo, row = relabel(setting, state, epoch)
        plans = adaptation_plans(setting, pseudo, epoch)
        batches = (
            _batches(setting, setting.source, plans[0], setting.source.identities)
            if config.protocol == "uda"
            else None,
            _batches(setting, setting.target, plans[1], pseudo.labels, pseudo.reliable),
        )
        title = f"adaptation, epoch {epoch + 1}/{config.epochs}"
        state, losses = train_epoch(
            setting.adapt_step,
            state,
            *batches,
            num_steps=config.iterations,
            description=title,
            phase="adapt",
            clock=setting.clock,
        )
        row |= losses
        if (epoch + 1) % setting.config.evaluation.every == 0 or epoch + 1 == config.epochs:
            row |= evaluate(setting, state)
        _finish_epoch(setting, state, row, epoch=epoch + 1, phase="adapt")
    return state


def relabel(setting: Setting, state: TrainState, epoch: int) -> tuple[TrainState, PseudoLabels, Row]:
    """Cluster the target, settle its labels, and begin an epoch from the prototypes of both domains."""
    config = setting.config.adapt
    target = _features(setting, state, setting.target.data.train, "target")
    pseudo = _pseudo_labels(setting, target, epoch)
    kind = {"weights": config.prototype_weights, "temperature": config.temperature}
    source_bank = state.banks.source  # empty; the US protocol has no use for it
    if config.protocol == "uda":
        source = _features(setting, state, setting.source.data.train, "source")
        identities, everyone = setting.source.identities, np.ones(len(setting.source.identities), bool)
        source_bank = make_bank(
            source, identities, num_classes=setting.source.num_identities, mask=everyone, **kind
        )
    target_bank = make_bank(
        target, pseudo.labels, num_classes=setting.num_target, mask=pseudo.reliable, **kind
    )
    banks = Banks(source_bank, target_bank)
    if config.labels == "truth" and epoch > 0:
        # The oracle's labels keep their meaning, so its heads and memory keep what they learnt.
        state = state.replace(banks=banks)
    else:
        state = begin_epoch(state, banks, head_norm=config.head_norm)
    modalities = setting.config.model.modalities
    row = label_report(pseudo, setting.target.data.train.pids, modalities=modalities)
    return put_replicated(state, setting.mesh), pseudo, row


def _pseudo_labels(setting: Setting, target: FeatureTable, epoch: int) -> PseudoLabels:
    config = setting.config.adapt
    if config.labels == "truth":
        return true_labels(setting.target.identities, num_modalities=len(setting.config.model.modalities))
    clusters = cluster_target(
        target,
        num_clusters=config.num_clusters,
        seed=setting.config.seed,
        epoch=epoch,
        num_init=config.kmeans_init,
        max_iterations=config.kmeans_iterations,
        tolerance=config.kmeans_tolerance,
    )
    return settle_target(
        clusters,
        num_clusters=config.num_clusters,
        labels=config.labels,
        rule=config.rule,
        threshold=config.threshold,
    )


def adaptation_plans(setting: Setting, pseudo: PseudoLabels, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """The epoch's batches of source and target, each [T, P·K]."""
    config = setting.config
    labels, reliable = pseudo.labels, pseudo.reliable
    if config.adapt.sampling == "reliable":
        labels = np.where(reliable, labels, -1)
    num_labels = len(np.unique(labels[labels >= 0]))
    if num_labels < config.batch.identities:
        raise ConfigError(
            f"epoch {epoch + 1}: {num_labels} clusters can be sampled, but config.batch.identities is "
            f"{config.batch.identities}; lower that or config.adapt.threshold, or set config.adapt.sampling to all"
        )
    plan = {"num_steps": config.adapt.iterations, **config.batch, "seed": config.seed, "epoch": epoch}
    return (
        identity_plan(setting.source.identities, **plan, stream="adapt/source"),
        identity_plan(labels, **plan, stream="adapt/target", reliable=reliable),
    )


def evaluate(setting: Setting, state: TrainState) -> Row:
    """Retrieval on the target's unseen identities."""
    result = rank(distances_on_target(setting, state), setting.target.data)
    figures = result.as_dict() | {"valid_queries": float(result.num_valid)}
    return {f"eval/{name}": value for name, value in figures.items()}


def distances_on_target(setting: Setting, state: TrainState) -> np.ndarray:
    """Squared distances [Q, G] of the target's queries to its gallery."""
    config = setting.config
    features = extract_query_gallery(
        setting.extract,
        state.variables("target"),
        setting.target.data,
        batch_size=config.evaluation.batch_size,
        mesh=setting.mesh,
    )
    branches = list(config.model.modalities)
    present = [branches.index(name) for name in config.evaluation.modalities] or None
    return retrieval_distances(features, present=present)


def _features(setting: Setting, state: TrainState, split: PreparedSplit, domain: DomainName) -> FeatureTable:
    return extract_table(
        setting.extract,
        state.variables(domain),
        split,
        batch_size=setting.config.evaluation.batch_size,
        mesh=setting.mesh,
        description=f"features of the {domain}",
    )


def _batches(setting: Setting, domain: Domain, plan, labels, reliable=None):
    return labelled_batches(
        domain.data.train, plan, labels, reliable, mesh=setting.mesh, workers=setting.config.data.workers
    )


def _finish_epoch(setting: Setting, state: TrainState, row: Row, *, epoch: int, phase: str) -> None:
    # The row first: a kill between the two repeats the epoch, whose old row is dropped at the restart.
    setting.writer.write(row, step=int(state.step), epoch=epoch, phase=phase)
    figures = [f"{name} {row[name]:.3g}" for name in REPORTED if name in row]
    left = [words] if (words := setting.clock.words(int(state.step))) else []
    logging.info("%s, epoch %d: %s", phase, epoch, ", ".join([*figures, *left]))
    about = {**setting.about, "row": {LOSS: float(row[LOSS])}}
    save_state(setting.checkpoints, state, about)
