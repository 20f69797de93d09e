"""The loss of pre-training, which is the same for every method: L_ReID on the labelled source alone (Eq. 21, 22)."""

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from man_jax.frame import TRAINED, Batch, ByDomain, Change, Frame, TrainState
from man_jax.losses.reid import reid_loss
from man_jax.networks.three_branch import Variables

NETWORK = TRAINED
"""The network that is tested after pre-training."""


def loss(
    frame: Frame,
    params: Variables,
    state: TrainState,
    source: Batch,
    target: None,
    key: PRNGKeyArray,
) -> tuple[Float[Array, ""], Change]:
    """Compute L_ReID of the source; both domains get the running statistics of the source."""
    del target
    source_key, _ = jax.random.split(key, 2)
    variables = {"params": params, "batch_stats": state.statistics.source}
    outputs, after = frame.model(variables, frame.view(source_key, source.images), train=True)
    identity, triplet = reid_loss(outputs, source.label, **frame.config.loss)
    terms = {"identity_source": identity, "triplet_source": triplet}
    return identity + triplet, Change(ByDomain(after, after), state.slots, terms)


def after_update(frame: Frame, state: TrainState) -> TrainState:
    """Leave the state as it is, because nothing follows the update."""
    del frame
    return state
