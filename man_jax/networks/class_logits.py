"""Logits of all classes: of the linear heads, of cosines with their columns, or with prototypes in a memory."""

from collections.abc import Sequence
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from man_jax.array_math import unit
from man_jax.layout import WHOLE, Layout
from man_jax.networks.three_branch import Outputs

Head = Literal["linear", "cosine", "memory"]


def class_logits(
    outputs: Outputs,
    heads: dict[str, Any],
    prototypes: Sequence[tuple[Float[Array, "M C D"], Float[Array, "C F"]]],
    *,
    head: Head,
    temperature: float,
    num_classes: Sequence[int] = (),
    layout: Layout = WHOLE,
) -> Float[Array, "M+1 B L"]:
    """Choose the logits of R, N, T, F; `prototypes` are those of each domain, of the modalities and of the fusion.

    Where the layout divides heads and prototypes, the features are whole on every device, and a device has the logits
    of its part of the batch. `num_classes` are then those of each domain, whose prototypes may have rows besides.
    """
    if layout.is_divided and head in ("linear", "memory"):
        normed, fused_normed = (
            layout.everywhere(outputs.features.normed),
            layout.everywhere(outputs.fused_normed),
        )
        outputs = outputs._replace(
            features=outputs.features._replace(normed=normed), fused_normed=fused_normed
        )
        if head == "linear":
            found = linear_logits(outputs, heads, layout)
        else:
            each = [memory_logits(outputs, *of_domain, temperature=temperature) for of_domain in prototypes]
            # Said here, because the gradient would otherwise gather the prototypes.
            each = [layout.divided(logits, axis=-1) for logits in each]
            cut = [logits[..., :number] for logits, number in zip(each, num_classes, strict=True)]
            found = jnp.concatenate(cut, axis=-1)
        return layout.divided(found, axis=1)
    if head == "linear":
        return outputs.logits
    if head == "cosine":
        return cosine_logits(outputs, heads, temperature=temperature)
    if head != "memory":
        raise ValueError(f"head is {head!r}; choose linear, cosine or memory")
    modal, fused = zip(*prototypes, strict=True)
    return memory_logits(
        outputs, jnp.concatenate(modal, axis=1), jnp.concatenate(fused), temperature=temperature
    )


def linear_logits(outputs: Outputs, heads: dict[str, Any], layout: Layout) -> Float[Array, "M+1 B L"]:
    """Compute the logits of heads that are divided by the features' numbers: each device sums its part of them."""
    modal = layout.divided(outputs.features.normed, axis=-1) @ heads["modal"]["kernel"]
    fused = layout.divided(outputs.fused_normed, axis=-1) @ heads["fused"]["kernel"]
    return layout.everywhere(jnp.concatenate([modal, fused[None]]))


def cosine_logits(outputs: Outputs, heads: dict[str, Any], *, temperature: float) -> Float[Array, "M+1 B L"]:
    """Compute the logits of the heads R, N, T, F from directions alone, so that no column outweighs another.

        logit_c = cos(f, w_c) / τ

    Source: Wang et al., "NormFace: L2 hypersphere embedding for face verification", ACM MM 2017.
    """
    columns = unit(jnp.swapaxes(heads["modal"]["kernel"], -1, -2)), unit(heads["fused"]["kernel"].T)
    return _cosines(outputs, *columns) / temperature


def memory_logits(
    outputs: Outputs,
    modal: Float[Array, "M L D"],
    fused: Float[Array, "L F"],
    *,
    temperature: float,
) -> Float[Array, "M+1 B L"]:
    """Compute the logits of R, N, T, F against the prototypes of all classes, which are of unit length.

        logit_c = cos(f, P_c) / τ,   so that the cross-entropy is InfoNCE

    Source: Dai et al., "Cluster contrast for unsupervised person re-identification", ACCV 2022.
    Differs from the source: it has one modality; here each modality and the fusion have prototypes of their own.
    """
    return _cosines(outputs, modal, fused) / temperature


def _cosines(
    outputs: Outputs, modal: Float[Array, "M L D"], fused: Float[Array, "L F"]
) -> Float[Array, "M+1 B L"]:
    of_modalities = jnp.einsum("mbd,mld->mbl", unit(outputs.features.normed), modal)
    of_fusion = unit(outputs.fused_normed) @ fused.T
    return jnp.concatenate([of_modalities, of_fusion[None]])
