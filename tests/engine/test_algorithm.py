"""Algorithm 1: what the epochs of both phases are made of, and in which order."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.loading.sampler import identity_plan
from man_jax.engine import phases
from man_jax.engine.labelling import known_labels
from man_jax.engine.optimizer import make_optimizer
from man_jax.frame import ByDomain, Labels
from tests.engine.tiny import NUM_SOURCE, NUM_TARGET, assert_same
from tests.engine.tiny import NUM_TRIPLES as N

RATE = 0.1
PRETRAIN_ITERATIONS = 4
PSEUDO = Labels(
    labels=(np.arange(N) % NUM_TARGET).astype(np.int32)[:, None],
    weight=(np.arange(N) % 5 > 0).astype(np.float32),
    num_clusters=NUM_TARGET,
)
"""Labels that are those of no clustering, as a vote may settle them, and some that are not reliable."""


@pytest.fixture
def run(parts, monkeypatch) -> SimpleNamespace:
    """The parts of a run, of which some only write down what they are given.

    `trained`, `relabelled`, `finished`, `saved` and `kept` are the epochs trained, the epochs labelled anew, the rows
    written, the steps saved and the steps whose weights were kept as pre-trained.
    """
    parts.config.seed = 7
    parts.config.adapt.update(epochs=2)
    parts.pretrain_epochs, parts.pretrain_iterations = 2, PRETRAIN_ITERATIONS
    parts.about = {"keys": {}}
    parts.pretrain_steps = 2 * PRETRAIN_ITERATIONS
    parts.pretrain_step, parts.adapt_step = "the step of pre-training", "the step of adaptation"
    parts.adapt_optimizer = make_optimizer("sgd", lambda _: RATE, weight_decay=0.0)
    parts.workdir = parts.checkpoints = None
    parts.trained, parts.relabelled, parts.finished, parts.saved, parts.kept = [], [], [], [], []

    def train_epoch(step, state, *batches, num_steps, **_):
        parts.trained.append(SimpleNamespace(step=step, state=state, batches=batches))
        return state.replace(step=state.step + num_steps), {"loss/total": 1.0}

    def labelled_batches(split, cameras, plan, labels, **_):
        return SimpleNamespace(split=split, cameras=cameras, plan=plan, labels=labels)

    def relabel(_, state, epoch):
        parts.relabelled.append((int(state.step), epoch))
        labels = ByDomain(known_labels(parts.domains.source.identities), PSEUDO)
        return state, labels, {"labels/reliable": 0.8}

    def write(row, *, step, epoch, phase):
        parts.finished.append((phase, epoch, step, set(row)))

    parts.writer = SimpleNamespace(write=write)
    told = {
        "train_epoch": train_epoch,
        "labelled_batches": labelled_batches,
        "relabel": relabel,
        "evaluate": lambda *_: {"eval/mAP": 0.5},
        "save_pretrained": lambda _, state, __, *, num_source: parts.kept.append(
            (int(state.step), num_source)
        ),
        "save_state": lambda _, state, about: parts.saved.append((int(state.step), about)),
        "keep_times": lambda *_, **__: None,
    }
    for name, part in told.items():
        monkeypatch.setattr(phases, name, part)
    return parts


@pytest.fixture
def pretrained(state, run):
    """The state with which adaptation begins; its optimiser has moments."""
    moments = jax.tree.map(jnp.ones_like, state.opt_state)
    return state.replace(step=jnp.int32(run.pretrain_steps), opt_state=moments)


def assert_batches(actual, domain, plan, labels, weight=1.0) -> None:
    assert actual.split is domain.data.train
    assert actual.cameras is domain.cameras
    np.testing.assert_array_equal(actual.plan, plan)
    np.testing.assert_array_equal(actual.labels.labels[:, 0], labels)
    np.testing.assert_array_equal(actual.labels.weight, np.broadcast_to(weight, len(labels)))


# --- pre-training


def test_pre_training_is_of_the_source_s_identities_with_other_batches_in_each_epoch(run, state):
    phases.pretrain(run, state.replace(step=jnp.int32(0)))
    assert [epoch.step for epoch in run.trained] == [run.pretrain_step] * 2
    for number, epoch in enumerate(run.trained):
        identities = run.domains.source.identities
        named = {"seed": 7, "epoch": number, "stream": "pretrain/source"}
        plan = identity_plan(identities, num_steps=PRETRAIN_ITERATIONS, **run.config.batch, **named)
        batches, target = epoch.batches
        assert target is None
        assert_batches(batches, run.domains.source, plan, identities)


def test_pre_training_is_evaluated_and_kept_at_its_end(run, state):
    phases.pretrain(run, state.replace(step=jnp.int32(0)))
    end = 2 * PRETRAIN_ITERATIONS
    assert run.finished == [
        ("pretrain", 1, PRETRAIN_ITERATIONS, {"loss/total"}),
        ("pretrain", 2, end, {"loss/total", "eval/mAP"}),
    ]
    assert run.kept == [(end, NUM_SOURCE)]
    about = {**run.about, "row": {"loss/total": 1.0}}
    assert run.saved == [(PRETRAIN_ITERATIONS, about), (end, about)]


def test_pre_training_goes_on_with_the_epoch_its_step_says(run, state):
    phases.pretrain(run, state.replace(step=jnp.int32(PRETRAIN_ITERATIONS)))
    assert [epoch for _, epoch, *_ in run.finished] == [2]


# --- adaptation


def test_each_epoch_is_labelled_anew_before_it_is_trained(run, pretrained):
    phases.adapt(run, pretrained)
    start, iterations = run.pretrain_steps, run.config.adapt.iterations
    assert run.relabelled == [(start, 0), (start + iterations, 1)]
    assert [epoch.step for epoch in run.trained] == [run.adapt_step] * 2


def test_an_epoch_is_of_the_source_s_identities_and_the_target_s_settled_and_reliable_labels(run, pretrained):
    phases.adapt(run, pretrained)
    for number, epoch in enumerate(run.trained):
        source, target = epoch.batches
        identities = run.domains.source.identities
        named = {"num_steps": run.config.adapt.iterations, **run.config.batch, "seed": 7, "epoch": number}
        plan = identity_plan(identities, **named, stream="adapt/source")
        assert_batches(source, run.domains.source, plan, identities)
        labels, weight = PSEUDO.labels[:, 0], PSEUDO.weight
        plan = identity_plan(labels, **named, stream="adapt/target", reliable=weight > 0)
        assert_batches(target, run.domains.target, plan, labels, weight)


def test_under_the_us_protocol_there_are_no_batches_of_the_source(run, pretrained):
    run.config.adapt.protocol = "us"
    phases.adapt(run, pretrained)
    for epoch in run.trained:
        source, target = epoch.batches
        assert source is None
        assert target.split is run.domains.target.data.train


def test_adaptation_begins_with_an_optimiser_of_its_own_and_keeps_it(run, pretrained):
    phases.adapt(run, pretrained)
    new = run.adapt_optimizer.init(pretrained.params)
    for epoch in run.trained:
        assert_same(epoch.state.opt_state, new)


def test_adaptation_that_goes_on_keeps_its_moments_and_does_the_epochs_that_are_left(run, pretrained):
    run.config.adapt.epochs = 3
    later = pretrained.replace(step=pretrained.step + run.config.adapt.iterations)
    phases.adapt(run, later)
    assert [epoch for _, epoch in run.relabelled] == [1, 2]
    assert_same(run.trained[0].state.opt_state, pretrained.opt_state)


@pytest.mark.parametrize(("every", "evaluated"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (9, [5])])
def test_adaptation_is_evaluated_every_so_many_epochs_and_at_its_end(run, pretrained, every, evaluated):
    run.config.adapt.epochs = 5
    run.config.evaluation.every = every
    phases.adapt(run, pretrained)
    assert [epoch for _, epoch, _, row in run.finished if "eval/mAP" in row] == evaluated
    assert [epoch for _, epoch, *_ in run.finished] == [1, 2, 3, 4, 5]
    assert all({"loss/total", "labels/reliable"} <= row for *_, row in run.finished)


def test_source_only_is_adaptation_of_no_epochs_and_learns_nothing(run, pretrained):
    run.config.adapt.epochs = 0
    after = phases.adapt(run, pretrained)
    assert run.trained == run.finished == []
    for part in ("step", "params", "statistics"):
        assert_same(getattr(after, part), getattr(pretrained, part))
