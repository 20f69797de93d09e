"""L_ReID, the supervised loss of every system here: cross-entropy and triplets of each modality and of the fusion."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from man_jax.losses.identity import TripletForm, batch_hard_triplet, smoothed_cross_entropy
from man_jax.losses.weighted import mean_of
from man_jax.networks.three_branch import Outputs

FusedTriplet = Literal["normed", "pooled"]


def reid_loss(
    outputs: Outputs,
    labels: Int[Array, " B"],
    *,
    mask: Bool[Array, " B"] | None = None,
    weight: Float[Array, " B"] | None = None,
    exists: Bool[Array, " C"] | None = None,
    smoothing: float,
    triplet_form: TripletForm,
    triplet_margin: float,
    triplet_fused: FusedTriplet,
    modal_weight: float = 1.0,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Compute (L_id, L_triplet) of one domain's batch, each summed over the modalities and F (Eq. 21, 22).

    The paper does not say what the triplet reads. Here it is g of each modality, before the neck, as with every BNNeck,
    and f_F of the fusion, or g_F if `triplet_fused` is "pooled". Rows masked out take no part in either, and `weight`
    says how much each other row counts in the means, as a row of L_id and as an anchor of a triplet (None: all the
    same). Classes that do not exist take no part in the softmax. `modal_weight` is the factor of the modalities' terms
    beside the fusion's; the paper has 1.
    """
    mask = jnp.ones(labels.shape, bool) if mask is None else mask

    def identity(logits):
        values = smoothed_cross_entropy(logits, labels, smoothing=smoothing, exists=exists)
        return mean_of(values, mask, weight)

    def triplet(pooled):
        return batch_hard_triplet(
            pooled, labels, mask=mask, weight=weight, form=triplet_form, margin=triplet_margin
        )

    fused = {"pooled": outputs.features.fused_pooled, "normed": outputs.fused_normed}[triplet_fused]
    modal = modal_weight * jnp.sum(jax.vmap(triplet)(outputs.features.pooled))
    if modal_weight == 1.0:
        return jnp.sum(jax.vmap(identity)(outputs.logits)), modal + triplet(fused)
    of_modalities = modal_weight * jnp.sum(jax.vmap(identity)(outputs.logits[:-1]))
    return of_modalities + identity(outputs.logits[-1]), modal + triplet(fused)
