"""The intermediate domain module: it mixes the maps of source and target in shares that it learns.

Source: Dai et al., "IDM: an intermediate domain module for domain adaptive person re-ID", ICCV 2021.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from man_jax.networks.three_branch import concatenate_modalities

Layers = dict[str, dict[str, Array]]
"""The kernel and the bias of each fully connected layer."""


def new_mixing(key: PRNGKeyArray, *, channels: int) -> Layers:
    """Draw the module's layers for maps of so many channels: 2 C → C → C / 2 → 2.

    Kernels and biases are uniform in ±1/√inputs, as PyTorch draws them for the source's code.
    """
    sizes = (2 * channels, channels, max(1, channels // 2), 2)
    layers = {}
    for number, inputs in enumerate(sizes[:-1], start=1):
        bound, outputs = inputs**-0.5, sizes[number]
        kernel_key, bias_key = jax.random.split(jax.random.fold_in(key, number))
        layers[f"fc{number}"] = {
            "kernel": jax.random.uniform(kernel_key, (inputs, outputs), minval=-bound, maxval=bound),
            "bias": jax.random.uniform(bias_key, (outputs,), minval=-bound, maxval=bound),
        }
    return layers


def mixing_shares(
    layers: Layers, source: Float[Array, "M B h w C"], target: Float[Array, "M B h w C"]
) -> Float[Array, "B 2"]:
    """Compute the shares (λ_s, λ_t) of each pair of triples, which sum to 1.

        λ = softmax(FC3(FC2(FC1(p(G_s)) + FC1(p(G_t))))),   p(G) = Cat(mean G, max G) over all places

    No gradient reaches the maps.

    Differs from the source: a triple has one pair of shares, because its fused feature has one label; so p reads the
    maps of all modalities as those of one image with M C channels.
    """

    def embedded(maps: Float[Array, "M B h w C"]) -> Float[Array, "B E"]:
        maps = jax.lax.stop_gradient(maps)
        pooled = [jnp.mean(maps, axis=(2, 3)), jnp.max(maps, axis=(2, 3))]
        return _connected(layers["fc1"], jnp.concatenate([concatenate_modalities(x) for x in pooled], axis=1))

    middle = _connected(layers["fc2"], embedded(source) + embedded(target))
    return jax.nn.softmax(_connected(layers["fc3"], middle))


def mix_maps(
    source: Float[Array, "M B h w C"], target: Float[Array, "M B h w C"], shares: Float[Array, "B 2"]
) -> Float[Array, "M B h w C"]:
    """Mix the maps of each pair of triples: λ_s G_s + λ_t G_t."""
    of_source, of_target = (shares[None, :, domain, None, None, None] for domain in (0, 1))
    return of_source * source + of_target * target


def _connected(layer: dict[str, Array], x: Float[Array, "B D"]) -> Float[Array, "B E"]:
    return x @ layer["kernel"] + layer["bias"][None, :]
