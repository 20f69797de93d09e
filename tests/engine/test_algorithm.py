"""Algorithm 1: what the epochs of both phases are made of, and in which order."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.loading.sampler import identity_plan
from man_jax.clustering.pseudo_labels import PseudoLabels
from man_jax.engine import phases
from man_jax.engine.optimizer import make_optimizer
from tests.engine.tiny import NUM_TARGET, assert_same
from tests.engine.tiny import NUM_TRIPLES as N

RATE = 0.1
PRETRAIN_ITERATIONS = 4
PSEUDO = PseudoLabels(
    labels=(np.arange(N) % NUM_TARGET).astype(np.int32),
    reliable=np.arange(N) % 5 > 0,
    scores=np.ones(N),
    aligned=np.stack([np.roll(np.arange(N) % NUM_TARGET, shift) for shift in range(1, 5)]).astype(np.int32),
)
"""Labels that are those of no clustering, as a vote may settle them, and some that are not reliable."""


@pytest.fixture
def run(setting, monkeypatch) -> SimpleNamespace:
    """The setting with parts that only write down what they are given.

    `trained`, `relabelled`, `finished` and `kept` are the epochs trained, the epochs labelled anew, the rows written
    and the steps whose weights were kept as pre-trained.
    """
    setting.config.seed = 7
    setting.config.adapt.update(epochs=2)
    setting.pretrain_epochs, setting.pretrain_iterations = 2, PRETRAIN_ITERATIONS
    setting.about = {}
    setting.pretrain_steps = 2 * PRETRAIN_ITERATIONS
    setting.pretrain_step, setting.adapt_step = "the step of pre-training", "the step of adaptation"
    setting.adapt_optimizer = make_optimizer("sgd", lambda _: RATE, weight_decay=0.0)
    setting.workdir = None
    setting.trained, setting.relabelled, setting.finished, setting.kept = [], [], [], []

    def train_epoch(step, state, *batches, num_steps, **_):
        setting.trained.append(SimpleNamespace(step=step, state=state, batches=batches))
        return state.replace(step=state.step + num_steps), {"loss/total": 1.0}

    def labelled_batches(split, plan, labels, reliable, **_):
        return SimpleNamespace(split=split, plan=plan, labels=labels, reliable=reliable)

    def relabel(_, state, epoch):
        setting.relabelled.append((int(state.step), epoch))
        return state, PSEUDO, {"labels/reliable": 0.8}

    def finish(_, state, row, *, epoch, phase):
        setting.finished.append((phase, epoch, int(state.step), set(row)))

    parts = {
        "train_epoch": train_epoch,
        "labelled_batches": labelled_batches,
        "relabel": relabel,
        "evaluate": lambda *_: {"eval/mAP": 0.5},
        "save_pretrained": lambda _, state, __: setting.kept.append(int(state.step)),
        "_finish_epoch": finish,
    }
    for name, part in parts.items():
        monkeypatch.setattr(phases, name, part)
    return setting


@pytest.fixture
def pretrained(state, run):
    """The state with which adaptation begins; its optimiser has moments."""
    moments = jax.tree.map(jnp.ones_like, state.opt_state)
    return state.replace(step=jnp.int32(run.pretrain_steps), opt_state=moments)


def assert_batches(actual, domain, plan, labels, reliable=None) -> None:
    assert actual.split is domain.data.train
    np.testing.assert_array_equal(actual.plan, plan)
    np.testing.assert_array_equal(actual.labels, labels)
    assert (actual.reliable is None) == (reliable is None)
    np.testing.assert_array_equal(actual.reliable, reliable)


# --- pre-training


def test_pre_training_is_of_the_source_s_identities_with_other_batches_in_each_epoch(run, state):
    phases.pretrain(run, state.replace(step=jnp.int32(0)))
    assert [epoch.step for epoch in run.trained] == [run.pretrain_step] * 2
    for number, epoch in enumerate(run.trained):
        identities = run.source.identities
        named = {"seed": 7, "epoch": number, "stream": "pretrain/source"}
        plan = identity_plan(identities, num_steps=PRETRAIN_ITERATIONS, **run.config.batch, **named)
        (batches,) = epoch.batches
        assert_batches(batches, run.source, plan, identities)


def test_pre_training_is_evaluated_and_kept_at_its_end(run, state):
    phases.pretrain(run, state.replace(step=jnp.int32(0)))
    end = 2 * PRETRAIN_ITERATIONS
    assert run.finished == [
        ("pretrain", 1, PRETRAIN_ITERATIONS, {"loss/total"}),
        ("pretrain", 2, end, {"loss/total", "eval/mAP"}),
    ]
    assert run.kept == [end]


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
        identities = run.source.identities
        named = {"num_steps": run.config.adapt.iterations, **run.config.batch, "seed": 7, "epoch": number}
        plan = identity_plan(identities, **named, stream="adapt/source")
        assert_batches(source, run.source, plan, identities)
        plan = identity_plan(PSEUDO.labels, **named, stream="adapt/target", reliable=PSEUDO.reliable)
        assert_batches(target, run.target, plan, PSEUDO.labels, PSEUDO.reliable)


def test_under_the_us_protocol_there_are_no_batches_of_the_source(run, pretrained):
    run.config.adapt.protocol = "us"
    phases.adapt(run, pretrained)
    for epoch in run.trained:
        source, target = epoch.batches
        assert source is None
        assert target.split is run.target.data.train


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
