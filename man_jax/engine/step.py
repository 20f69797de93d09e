"""One iteration, as a pure function of (state, batches): forward, loss, update, prototypes."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int32, UInt8

from man_jax.engine.augment import Augmentation, Normalization, augment
from man_jax.engine.state import Banks, Statistics, TrainState
from man_jax.memories.cross_batch import enqueue
from man_jax.memories.prototypes import Bank, MovingForm, move_prototypes
from man_jax.networks.three_branch import Features, Outputs, ThreeBranch
from man_jax.objectives.total import (
    Labelled,
    Objective,
    Terms,
    adaptation_loss,
    pretraining_loss,
    unsupervised_loss,
)
from man_jax.sharding import replicated


class Batch(NamedTuple):
    """Triples of one domain with the labels of their own domain: identities, or clusters."""

    images: UInt8[Array, "B M H W 3"]
    labels: Int32[Array, " B"]
    reliable: Bool[Array, " B"]
    """False: the label is not to be learnt from. Always True in the source."""


StatisticsForm = Literal["per_domain", "shared"]


class StepSettings(NamedTuple):
    """What the step does besides the loss."""

    augmentation: Augmentation = Augmentation()
    normalization: Normalization = Normalization()
    momentum: float = 0.99
    moving_form: MovingForm = "batch_mean"
    statistics: StatisticsForm = "per_domain"


Step = Any
"""A jitted function (state, batch, ...) → (state, terms): calling it runs it, `lower` compiles it."""


def make_step(
    model: ThreeBranch,
    optimizer: optax.GradientTransformation,
    objective: Objective,
    settings: StepSettings,
    mesh: Mesh,
) -> Step:
    """The jitted step: (state, source) → (state, terms) in pre-training, (state, source, target) in adaptation.

    Adaptation without the source (the US protocol) is (state, None, target). The state is donated. The batches
    come split over the mesh, so batch statistics, triplets and means are those of the global batch.
    """

    def step(state: TrainState, *batches: Batch | None) -> tuple[TrainState, Terms]:
        def loss(params):
            return _forward(state.replace(params=params), batches, model, objective, settings)

        (value, (state_after, terms)), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        state_after = state_after.replace(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            opt_state=opt_state,
        )
        return state_after, {"total": value, **terms}

    return jax.jit(step, out_shardings=replicated(mesh), donate_argnums=0)


def _forward(
    state: TrainState,
    batches: tuple[Batch | None, ...],
    model: ThreeBranch,
    objective: Objective,
    settings: StepSettings,
) -> tuple[Float[Array, ""], tuple[TrainState, Terms]]:
    """The loss, and the state with all that the forward pass changes: batch statistics, memory, banks.

    Each domain passes alone, so each is normalised by its own batch statistics. `per_domain` keeps a running
    average for each; `shared` lets both move the same one, as code that is not aware of domains does.
    """
    keys = jax.random.split(jax.random.fold_in(state.key, state.step), 2)
    pretraining = len(batches) == 1
    shared = settings.statistics == "shared" or pretraining
    running, outputs, labels = list(state.statistics), [], []
    for domain, (key, batch) in enumerate(zip(keys, batches, strict=False)):
        if batch is None:
            continue
        images = augment(key, batch.images, settings.augmentation, settings.normalization)
        variables = {"params": state.params, "batch_stats": running[domain]}
        output, after = model(variables, images, train=True)
        outputs.append(output)
        labels.append(batch.labels)
        running = [after, after] if shared else [*running[:domain], after, *running[domain + 1 :]]
    state = state.replace(statistics=Statistics(*running))
    if pretraining:
        value, terms = pretraining_loss(outputs[0], labels[0], objective)
        return value, (state, terms)
    return _adaptation(state, batches, outputs, objective, settings)


def _adaptation(state, batches, outputs: list[Outputs], objective: Objective, settings: StepSettings):
    """Eq. 23 on the domains that are there: both (UDA), or the target alone (US)."""
    # In the common label space clusters come after identities.
    first_label = (0, state.banks.source.valid.shape[0])
    there = [domain for domain, batch in enumerate(batches) if batch is not None]
    banks, labelled = list(state.banks), []
    for domain, output in zip(there, outputs, strict=True):
        batch = batches[domain]
        banks[domain] = move_bank(banks[domain], output.features, batch, settings)
        labelled.append(Labelled(output, batch.labels + first_label[domain], batch.reliable))
    moved = Banks(*banks)
    memory = enqueue(
        state.memory,
        jnp.concatenate([batch.outputs.features.fused_pooled for batch in labelled]),
        jnp.concatenate([batch.labels for batch in labelled]),
        mask=jnp.concatenate([batch.reliable for batch in labelled]),
    )
    common = {"memory": memory, "objective": objective}
    if len(labelled) == 2:
        value, terms = adaptation_loss(*labelled, banks=state.banks, moved_banks=moved, **common)
    else:
        value, terms = unsupervised_loss(*labelled, bank=state.banks.target, **common)
    return value, (state.replace(memory=memory, banks=moved), terms)


def move_bank(bank: Bank, features: Features, batch: Batch, settings: StepSettings) -> Bank:
    """Eq. 11 for all modalities and the fusion of one domain; unreliable samples move nothing."""

    def move(values, rows):
        return move_prototypes(
            values,
            bank.valid,
            rows,
            batch.labels,
            mask=batch.reliable,
            momentum=settings.momentum,
            form=settings.moving_form,
        )

    return bank._replace(
        modal=jax.vmap(move)(bank.modal, features.modal_unit), fused=move(bank.fused, features.fused_unit)
    )
