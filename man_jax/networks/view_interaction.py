"""Let the views of an identity in a batch inform each other by attention.

Source: Li et al., "Logical relation inference and multiview information interaction for domain adaptation person
re-identification", TNNLS 2024.
"""

import flax.linen as nn
from jaxtyping import Array, Bool, Float

from man_jax.networks.vit import EPSILON, Block, LayerNorm

HEAD_SIZE = 64
"""Numbers a head; a width that it does not divide has one head."""


class ViewInteraction(nn.Module):
    """Blocks of a transformer whose tokens are the features of a batch's triples, then a norm.

    A triple attends to the triples that `among` marks in its row, those of its identity. The blocks are shared by
    the modalities.
    """

    depth: int = 4

    @nn.compact
    def __call__(self, x: Float[Array, "M B D"], among: Bool[Array, "B B"]) -> Float[Array, "M B D"]:
        """Compute each triple's features once more, with what the others of its identity show."""
        width = x.shape[-1]
        heads = width // HEAD_SIZE if width % HEAD_SIZE == 0 else 1
        for i in range(self.depth):
            x = Block(width, heads, "gelu", EPSILON["vit"], None, name=f"block{i}")(x, among)
        return LayerNorm(epsilon=EPSILON["vit"], name="norm")(x)
