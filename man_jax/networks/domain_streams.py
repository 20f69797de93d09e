"""Pass source, target and a mixture of their maps through one network in which each has norms of its own."""

from typing import Any

from jaxtyping import Array, Float

from man_jax.networks.domain_mixing import mix_maps, mixing_shares
from man_jax.networks.domain_norms import with_norms
from man_jax.networks.three_branch import Outputs, ThreeBranch, Variables

STREAMS = ("source", "target", "mixed")
"""The three parts of a batch, each with norms and running statistics of its own."""


def pass_streams(
    model: ThreeBranch,
    params: dict[str, Any],
    statistics: dict[str, Variables],
    images: tuple[Float[Array, "B M H W 3"], Float[Array, "B M H W 3"]],
    *,
    stage: int,
    shared: bool,
) -> tuple[dict[str, Outputs], Float[Array, "B 2"], dict[str, Variables]]:
    """Compute the outputs of source, target and mixtures, the shares [B, 2], and the statistics, by stream.

    `params` are {network, norms, mixing}: the network with the target's norms, the norms of source and mixtures, and
    the layers of the mixing module, which mixes the maps of the stage. `images` are those of source and target. Each
    stream moves its own running statistics; if they are `shared`, the three move one average in turn.
    """
    running = dict(statistics)
    networks = {"target": params["network"]} | {
        name: with_norms(params["network"], norms) for name, norms in params["norms"].items()
    }

    def variables(name: str) -> Variables:
        return {"params": networks[name], "batch_stats": running[name]}

    def move(name: str, moved: Variables) -> None:
        together = STREAMS if shared else (name,)
        after = {**running[name], **moved}
        running.update((each, after) for each in together)

    maps: dict[str, Array] = {}
    for name, view in zip(("source", "target"), images, strict=True):
        (*_, maps[name]), moved = model.maps(variables(name), view, train=True, last=stage)
        move(name, moved)
    shares = mixing_shares(params["mixing"], maps["source"], maps["target"])
    maps["mixed"] = mix_maps(maps["source"], maps["target"], shares)
    outputs = {}
    for name in STREAMS:
        features, moved = model.features_from(variables(name), maps[name], stage=stage, train=True)
        move(name, moved)
        outputs[name], moved = model.outputs_from(variables(name), features, train=True)
        move(name, moved)
    return outputs, shares, running
