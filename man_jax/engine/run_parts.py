"""Open a run: the parts that stay the same through it, and the state with which it begins or goes on."""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
from absl import logging
from jax.sharding import Mesh

from man_jax import methods
from man_jax.config import Config, check_config, check_counts
from man_jax.engine import pretraining
from man_jax.engine.build import build_frame, build_normalization, build_optimizer, check_parts
from man_jax.engine.domain_data import Domain, open_domains
from man_jax.engine.extract import Extract, make_extract
from man_jax.engine.feature_rows import features_folder
from man_jax.engine.initial_weights import InitialBackbone, place_backbone, read_backbone
from man_jax.engine.placement import memory_layout, sharded_places
from man_jax.engine.state import begin_phase, create_state
from man_jax.engine.step import Step, make_step
from man_jax.engine.step_meter import StepMeter, meter_of
from man_jax.engine.trained_network import tested_network
from man_jax.frame import ByDomain, Frame, LabelSpace, TrainState
from man_jax.layout import Layout, laid_out
from man_jax.runs.checkpoint import (
    CHECKPOINTS,
    check_pretrained,
    has_checkpoint,
    last_saved,
    open_checkpoints,
    restore_adapted,
    restore_pretrained,
    restore_state,
)
from man_jax.runs.compilation_notice import compiling
from man_jax.runs.hosts import check_same, check_shared, facts_of_config, facts_of_data
from man_jax.runs.metrics import MetricsWriter
from man_jax.runs.multi_process import in_step, of_first_process
from man_jax.runs.past_config import run_config
from man_jax.runs.recovery import check_rows, move_aside, read_newest, warn_of
from man_jax.runs.starting_weights import (
    Beginning,
    digest_of_given,
    find_beginning,
    find_moved_weights,
    keep_data,
)
from man_jax.runs.state_layout import check_layout
from man_jax.runs.step_trace import TRACE_FOLDER, StepTrace
from man_jax.runs.time_left import Plan, RunClock
from man_jax.runs.trackers import check_trackers, open_trackers
from man_jax.runs.used_data import check_data, describe_data
from man_jax.runs.weights_meaning import check_source, check_weights_of_run, describe_weights, described
from man_jax.runs.workdir import check_workdir, claim_workdir
from man_jax.sharding import make_mesh, put_replicated, replicated

QUICK_COMPILATION = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Options for a program that runs once. On a CPU, drawing the first weights takes ten times longer to compile than to
run."""


@dataclass(frozen=True, eq=False)
class RunParts:
    """The parts of a run that do not change from its first step to its last."""

    config: Config
    workdir: Path
    claim: AbstractContextManager[Any]
    """The lock of the work directory: other processes are kept out until this context is left."""
    mesh: Mesh
    domains: ByDomain[Domain]
    method: Any
    """A module of `man_jax.methods`."""
    frame: Frame
    features_folder: Path | None
    """Where the features of an epoch are kept in files; None: they are kept in memory."""
    create: Callable[[], TrainState]
    """Creates the state with which pre-training begins."""
    extract: Extract
    pretrain_iterations: int
    pretrain_optimizer: optax.GradientTransformation
    adapt_optimizer: optax.GradientTransformation
    pretrain_step: Step
    adapt_step: Step
    checkpoints: ocp.CheckpointManager
    writer: MetricsWriter
    clock: RunClock
    meter: StepMeter
    trace: StepTrace | None
    """Which steps are traced by JAX's profiler; None: none."""
    backbone: InitialBackbone | None
    """The weights that every branch starts from; None if they are drawn or come from another run."""
    about: Mapping[str, Any]
    """Which run and data the weights belong to; it is saved beside them."""

    @property
    def pretrain_epochs(self) -> int:
        """The epochs of pre-training; 0 if the run begins from another run's weights."""
        return _epochs_of_pretraining(self.config)

    @property
    def pretrain_steps(self) -> int:
        """The step at which adaptation begins."""
        return self.pretrain_epochs * self.pretrain_iterations


def open_run(config: Config, workdir: Path, *, traced: range | None = None) -> RunParts:
    """Check everything that can be checked before the first step, then build the parts of the run.

    Of several processes, all are refused what one of them is refused. `traced`: the steps that JAX's profiler traces,
    counted through the whole run.
    """
    with in_step():
        mesh = _checked_mesh(config)
        found = _look(config, workdir)
    check_same(
        facts_of_config(config) | {"the last checkpoint": found.step, "the first weights": found.weights}
    )
    check_shared(workdir, "--workdir (of man_jax.reproduce: --out)")
    with in_step():
        source, target = open_domains(config)
        used = describe_data(source.data, target.data)
        if found.beginning:
            check_source(found.beginning.key, found.beginning.workdir, found.beginning.folder, used)
        if not found.fresh:
            check_data(workdir, used, config.data)
        method = methods.find(config.method)
        frame = _frame(config, method, source, target, memory_layout(method, config, mesh))
        check_parts(method.networks(config), frame)
        pretrain_iterations = _iterations_of_pretraining(config, source)
        pretrain_optimizer = build_optimizer(config.pretrain, iterations=pretrain_iterations)
        adapt_optimizer = build_optimizer(config.adapt, iterations=config.adapt.iterations)
        create = partial(create_state, frame, pretrain_optimizer)
        if found.beginning and found.beginning.key == "pretrain.init_from":
            num_source = frame.space.num_source
            check_pretrained(found.beginning.workdir, jax.eval_shape(create), num_source=num_source)
    check_same(facts_of_data(used))
    # Locked only now, so that a refusal above leaves no work directory that stops the corrected command.
    claim = _claim(workdir, config, found.moved)
    keep_data(workdir, used, config, fresh=found.fresh)
    return RunParts(
        config=config,
        workdir=workdir,
        claim=claim,
        mesh=mesh,
        domains=ByDomain(source, target),
        method=method,
        frame=frame,
        features_folder=features_folder(config, frame, method.networks(config), workdir),
        create=create,
        extract=make_extract(frame.model, build_normalization(config), mesh),
        pretrain_iterations=pretrain_iterations,
        pretrain_optimizer=pretrain_optimizer,
        adapt_optimizer=adapt_optimizer,
        pretrain_step=make_step(pretraining, frame, pretrain_optimizer, mesh),
        adapt_step=make_step(method, frame, adapt_optimizer, mesh),
        checkpoints=open_checkpoints(workdir, keep=config.evaluation.checkpoints),
        writer=_writer(config, workdir),
        clock=_clock(config, pretrain_iterations, source, target, networks=len(method.networks(config))),
        meter=meter_of(list(mesh.devices.flat)),
        trace=StepTrace(traced, workdir / TRACE_FOLDER) if traced else None,
        backbone=found.backbone,
        about=describe_weights(config, used),
    )


class _Found(NamedTuple):
    """What a work directory has, and what a run in it begins with; no data are read for it."""

    moved: Collection[str]
    step: int | None
    beginning: Beginning | None
    backbone: InitialBackbone | None
    weights: str
    """A digest of the weights that the configuration names; "" if it names none."""

    @property
    def fresh(self) -> bool:
        """Whether the run begins here; one that goes on needs neither the file nor the other run any more."""
        return self.step is None


def _look(config: Config, workdir: Path) -> _Found:
    """Check the work directory, and read or find the weights of a new run."""
    moved = find_moved_weights(workdir, config)
    check_workdir(workdir, config, same_weights=moved)
    step = last_saved(workdir)
    if step is not None:
        check_layout(workdir)
        return _Found(moved, step, None, None, "")
    several = jax.process_count() > 1
    return _Found(
        moved,
        step,
        find_beginning(config),
        read_backbone(config.model, config.data.image_size),
        digest_of_given(config) if several else "",  # it is read to be compared
    )


def _frame(config: Config, method: Any, source: Domain, target: Domain, layout: Layout) -> Frame:
    """Build what the method sees of the run, if there are triples and identities enough for it."""
    num_triples = ByDomain(len(source.data.train), len(target.data.train))
    capacity = check_counts(
        config,
        num_identities=source.num_identities,
        num_samples=num_triples.target,
        num_target_identities=target.num_identities,
        capacity=method.capacity(config, num_triples.target),
    )
    cameras = ByDomain(source.cameras, target.cameras)
    space = LabelSpace(source.num_identities, capacity)
    return build_frame(config, space, num_triples, cameras, layout=layout)


def _checked_mesh(config: Config) -> Mesh:
    """Make the mesh, if the configuration is right for so many devices and its trackers are installed."""
    mesh = make_mesh()
    check_config(config, num_devices=mesh.size)
    check_trackers(config.trackers)
    return mesh


def _writer(config: Config, workdir: Path) -> MetricsWriter:
    trackers = partial(open_trackers, config, workdir)
    return MetricsWriter(workdir, process_index=jax.process_index(), open_trackers=trackers)


def _iterations_of_pretraining(config: Config, source: Domain) -> int:
    """Give the steps of an epoch: as configured, or one pass over the source."""
    batch_size = config.batch.identities * config.batch.instances
    return config.pretrain.iterations or max(1, len(source.data.train) // batch_size)


def _epochs_of_pretraining(config: Config) -> int:
    begun_elsewhere = config.pretrain.init_from or config.adapt.init_from
    return 0 if begun_elsewhere else config.pretrain.epochs


def _clock(
    config: Config, pretrain_iterations: int, source: Domain, target: Domain, *, networks: int
) -> RunClock:
    alone = config.adapt.protocol == "us"
    triples = networks * (len(target.data.train) + (0 if alone else len(source.data.train)))
    triples += (len(target.data.query) + len(target.data.gallery)) / config.evaluation.every
    return RunClock(
        Plan(
            pretrain_steps=_epochs_of_pretraining(config) * pretrain_iterations,
            adapt_epochs=config.adapt.epochs,
            adapt_iterations=config.adapt.iterations,
            batches=1 if alone else 2,
            features=triples / (config.batch.identities * config.batch.instances),
        )
    )


def _claim(workdir: Path, config: Config, moved: Collection[str]) -> AbstractContextManager[Any]:
    """Lock the work directory for process 0, which writes; if that is refused, every process ends."""
    with in_step():
        return (
            claim_workdir(workdir, config, same_weights=moved) if jax.process_index() == 0 else nullcontext()
        )


def begin_adaptation(parts: RunParts, state: TrainState) -> TrainState:
    """Add the method's arrays to a pre-trained state, and give it the optimiser of adaptation with moments of zero."""
    return begin_phase(parts.method.start(parts.frame, state), parts.adapt_optimizer)


def first_adapting_state(parts: RunParts, state: TrainState) -> TrainState:
    """Place the state with which adaptation begins; what is divided among the devices is never whole on one."""
    places = sharded_places(parts.method, parts.frame)
    if not places:
        return put_replicated(begin_adaptation(parts, state), parts.mesh)
    begin = jax.jit(lambda state: laid_out(begin_adaptation(parts, state), parts.mesh, places))
    with compiling(begin, "the first state of adaptation"):
        return begin(state)


def first_state(parts: RunParts) -> TrainState:
    """Restore the newest whole checkpoint, or create a new state; rows of metrics after that checkpoint are dropped."""
    if has_checkpoint(parts.workdir):
        step, state = _newest_state(parts)
        sealed = described(parts.workdir / CHECKPOINTS / str(step), "row")
        check_rows(parts.workdir, step, begun_at=parts.pretrain_steps, sealed=sealed)
        parts.writer.resume(step)
        logging.info("going on from the checkpoint of step %d in %s", step, parts.workdir)
        return state
    parts.writer.resume(-1)
    options = QUICK_COMPILATION if jax.default_backend() == "cpu" else None
    create = jax.jit(parts.create, out_shardings=replicated(parts.mesh), compiler_options=options)
    with compiling(create, "the drawing of a first state"):
        state = create()
    num_source = parts.frame.space.num_source
    if init_from := parts.config.pretrain.init_from:
        logging.info("starting from the pre-trained variables of %s", init_from)
        return restore_pretrained(Path(init_from), state, parts.mesh, num_source=num_source)
    if init_from := parts.config.adapt.init_from:
        logging.info("going on from the adapted variables of %s, with a new optimiser", init_from)
        network = tested_network(run_config(Path(init_from)))
        return restore_adapted(Path(init_from), network, state, parts.mesh, num_source=num_source)
    if parts.backbone is None:
        logging.info("starting from scratch: config.model.pretrained is empty")
        return state
    logging.info("%s", parts.backbone.description)
    return put_replicated(place_backbone(state, parts.backbone), parts.mesh)


def _newest_state(parts: RunParts) -> tuple[int, TrainState]:
    """Restore the newest whole checkpoint; damaged newer ones are moved aside, and the log says so."""
    folder = parts.workdir / CHECKPOINTS
    new = jax.eval_shape(parts.create)

    def read(step: int) -> TrainState:
        check_weights_of_run(parts.workdir, folder / str(step), parts.config)
        if step <= parts.pretrain_steps:
            return restore_state(parts.checkpoints, step, new, parts.mesh)
        like = jax.eval_shape(partial(begin_adaptation, parts), new)
        return restore_state(
            parts.checkpoints,
            step,
            like,
            parts.mesh,
            places=sharded_places(parts.method, parts.frame),
            padded=getattr(parts.method, "SHARDED", {}),
        )

    step, state, passed = read_newest(folder, read)
    warn_of(passed, folder, step)
    if passed and jax.process_index() == 0:
        move_aside(passed, folder)
    if passed:
        of_first_process(np.array(step))  # none looks before the first has moved them
        parts.checkpoints.reload()
    return step, state
