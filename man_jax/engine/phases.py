"""The two phases of a run: pre-training on the source, then adaptation to the target (Algorithm 1).

The state's step says which epoch is next, and all randomness follows from (seed, epoch) or (seed, step). So a resumed
run has the same result as one without a break, bit for bit on a CPU.
"""

import time

import numpy as np
from absl import logging

from data_pipelines.loading.sampler import identity_plan
from data_pipelines.session.compilation import is_compiled
from man_jax.engine import pretraining
from man_jax.engine.domain_data import Domain
from man_jax.engine.epoch import labelled_batches, train_epoch
from man_jax.engine.evaluation import extract_query_gallery, rank, retrieval_distances
from man_jax.engine.extract import extract_table
from man_jax.engine.labelling import (
    check_labels,
    known_labels,
    label_report,
    oracle_labels,
    sampled_labels,
)
from man_jax.engine.placement import place_state
from man_jax.engine.run_parts import RunParts, first_adapting_state
from man_jax.frame import ByDomain, DomainName, EpochFeatures, FeatureTable, Labels, Network, TrainState
from man_jax.retrieval.distances import FeatureDistances
from man_jax.runs.checkpoint import save_pretrained, save_state
from man_jax.runs.epoch_times import PARTS, keep_times
from man_jax.runs.metrics import read_history
from man_jax.runs.multi_process import of_first_process
from man_jax.runs.recovery import LOSS

Row = dict[str, float]

REPORTED = (
    "loss/total",
    "labels/accuracy_F",
    "labels/accuracy_reliable",
    "labels/reliable",
    "eval/mAP",
    "eval/R1",
)
"""The figures of an epoch that the log shows; metrics.jsonl has all figures."""


def pretrain(parts: RunParts, state: TrainState) -> TrainState:
    """Train on the source's identities (Eq. 21, 22), then evaluate on the target as "source only"."""
    config, iterations, source = parts.config, parts.pretrain_iterations, parts.domains.source
    labels = known_labels(source.identities)
    for epoch in range(int(state.step) // iterations, parts.pretrain_epochs):
        plan = identity_plan(
            source.identities,
            num_steps=iterations,
            **config.batch,
            seed=config.seed,
            epoch=epoch,
            stream="pretrain/source",
            draw=config.pretrain.source_draw,
        )
        state, row = train_epoch(
            parts.pretrain_step,
            state,
            _batches(parts, source, plan, labels),
            None,
            num_steps=iterations,
            description=f"pre-training, epoch {epoch + 1}/{parts.pretrain_epochs}",
            phase="pretrain",
            clock=parts.clock,
            meter=parts.meter,
            trace=parts.trace,
        )
        if epoch + 1 == parts.pretrain_epochs:
            row |= evaluate(parts, state, pretraining.NETWORK)
            save_pretrained(parts.workdir, state, parts.about, num_source=parts.frame.space.num_source)
        _finish_epoch(parts, state, row, epoch=epoch + 1, phase="pretrain")
    if parts.pretrain_epochs == 0 and of_first_process(np.array(not read_history(parts.workdir))):
        phase = "start" if config.adapt.init_from else "pretrain"
        row = evaluate(parts, state, pretraining.NETWORK)
        parts.writer.write(row, step=0, epoch=0, phase=phase)
    return state


def adapt(parts: RunParts, state: TrainState) -> TrainState:
    """Label the target anew in each epoch, then train on both domains (Algorithm 1).

    Under the US protocol (§4.1.2) it trains on the target alone.
    """
    config = parts.config.adapt
    if int(state.step) == parts.pretrain_steps:
        state = first_adapting_state(parts, state)
    for epoch in range((int(state.step) - parts.pretrain_steps) // config.iterations, config.epochs):
        times, compiled = [time.monotonic()], not is_compiled(parts.adapt_step)
        state, labels, row = relabel(parts, state, epoch)
        times.append(time.monotonic())
        plans = adaptation_plans(parts, labels.target, epoch)
        state, losses = train_epoch(
            parts.adapt_step,
            state,
            _batches(parts, parts.domains.source, plans.source, labels.source)
            if config.protocol == "uda"
            else None,
            _batches(parts, parts.domains.target, plans.target, labels.target),
            num_steps=config.iterations,
            description=f"adaptation, epoch {epoch + 1}/{config.epochs}",
            phase="adapt",
            clock=parts.clock,
            meter=parts.meter,
            trace=parts.trace,
        )
        row |= losses
        times.append(time.monotonic())
        if (epoch + 1) % parts.config.evaluation.every == 0 or epoch + 1 == config.epochs:
            row |= evaluate(parts, state, parts.method.networks(parts.config)[0])
            times.append(time.monotonic())
        figures: Row = dict(zip(PARTS, np.diff(times).tolist(), strict=False))
        figures |= parts.meter.figures("adapt", parts.clock.step_seconds("adapt"))
        keep_times(parts.workdir, epoch=epoch + 1, compiled=compiled, figures=figures)
        _finish_epoch(parts, state, row, epoch=epoch + 1, phase="adapt")
    return state


def relabel(parts: RunParts, state: TrainState, epoch: int) -> tuple[TrainState, ByDomain[Labels], Row]:
    """Extract features, label the target, and let the method begin its epoch."""
    config, target = parts.config, parts.domains.target
    of_target = _features(parts, state, "target")
    labels = ByDomain(
        known_labels(parts.domains.source.identities), _target_labels(parts, state, of_target, epoch)
    )
    of_source = _features(parts, state, "source") if config.adapt.protocol == "uda" else None
    state = parts.method.begin_epoch(parts.frame, state, EpochFeatures(of_source, of_target), labels)
    row = label_report(labels.target, target.data.train.pids)
    return place_state(parts.method, parts.frame, state, parts.mesh), labels, row


def _target_labels(
    parts: RunParts, state: TrainState, features: tuple[FeatureTable, ...], epoch: int
) -> Labels:
    config, target = parts.config, parts.domains.target
    if config.adapt.labels == "truth":
        return oracle_labels(target.identities, modalities=config.model.modalities, epoch=epoch)
    labels = parts.method.label(parts.frame, state, features, target.cameras, epoch)
    check_labels(
        labels,
        capacity=parts.frame.space.capacity,
        num_triples=len(target.identities),
        method=config.method,
    )
    # All processes use the labels of the first one.
    shared = of_first_process(
        {
            "labels": labels.labels,
            "weight": labels.weight,
            "continued": np.asarray(labels.continued),
            "clusterings": tuple(labels.clusterings.values()),
            **({} if labels.groups is None else {"groups": labels.groups}),
        }
    )
    # As a dictionary it would come back in another order, in which the figures would be written.
    shared["clusterings"] = dict(zip(labels.clusterings, shared["clusterings"], strict=True))
    facts = np.array([labels.num_clusters, labels.estimated, labels.drawn_by], np.int32)
    num_clusters, estimated, drawn_by = of_first_process(facts).tolist()
    return Labels(**shared, num_clusters=num_clusters, estimated=bool(estimated), drawn_by=drawn_by)


def adaptation_plans(parts: RunParts, labels: Labels, epoch: int) -> ByDomain[np.ndarray]:
    """Draw the epoch's batches of source and target, each [T, P·K]."""
    config = parts.config
    drawn = sampled_labels(
        labels,
        reliable_only=config.adapt.sampling == "reliable",
        num_identities=config.batch.identities,
        epoch=epoch,
    )
    plan = {"num_steps": config.adapt.iterations, **config.batch, "seed": config.seed, "epoch": epoch}
    return ByDomain(
        identity_plan(
            parts.domains.source.identities, **plan, stream="adapt/source", draw=config.adapt.source_draw
        ),
        identity_plan(drawn, **plan, stream="adapt/target", reliable=labels.weight > 0, groups=labels.groups),
    )


def evaluate(parts: RunParts, state: TrainState, network: Network) -> Row:
    """Measure retrieval on the target's unseen identities."""
    result = rank(distances_on_target(parts, state, network), parts.domains.target.data)
    figures = result.as_dict() | {"valid_queries": float(result.num_valid)}
    return {f"eval/{name}": value for name, value in figures.items()}


def distances_on_target(parts: RunParts, state: TrainState, network: Network) -> FeatureDistances:
    """Give the squared distances [Q, G] of the target's queries to its gallery."""
    config = parts.config
    features = extract_query_gallery(
        parts.extract,
        network.variables(state, "target"),
        parts.domains.target.data,
        batch_size=config.evaluation.batch_size,
        mesh=parts.mesh,
    )
    branches = list(config.model.modalities)
    present = [branches.index(name) for name in config.evaluation.modalities] or None
    return retrieval_distances(features, present=present)


def _features(parts: RunParts, state: TrainState, domain: DomainName) -> tuple[FeatureTable, ...]:
    """Extract a domain's features with each of the method's networks."""
    return tuple(
        extract_table(
            parts.extract,
            network.variables(state, domain),
            getattr(parts.domains, domain).data.train,
            batch_size=parts.config.evaluation.batch_size,
            mesh=parts.mesh,
            description=f"features of the {domain}",
            num_parts=network.num_parts,
            folder=parts.features_folder,
        )
        for network in parts.method.networks(parts.config)
    )


def _batches(parts: RunParts, domain: Domain, plan: np.ndarray, labels: Labels):
    return labelled_batches(
        domain.data.train, domain.cameras, plan, labels, mesh=parts.mesh, workers=parts.config.data.workers
    )


def _finish_epoch(parts: RunParts, state: TrainState, row: Row, *, epoch: int, phase: str) -> None:
    # The row is written first. After a kill between the two, the epoch is repeated and its old row dropped.
    parts.writer.write(row, step=int(state.step), epoch=epoch, phase=phase)
    figures = [f"{name} {row[name]:.3g}" for name in REPORTED if name in row]
    left = [words] if (words := parts.clock.words(int(state.step))) else []
    logging.info("%s, epoch %d: %s", phase, epoch, ", ".join([*figures, *left]))
    about = {**parts.about, "row": {LOSS: float(row[LOSS])}}
    save_state(parts.checkpoints, state, about)
