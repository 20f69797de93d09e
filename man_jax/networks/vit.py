"""Vision Transformer (Dosovitskiy et al., ICLR 2021) and the visual encoder of CLIP (Radford et al., ICML 2021)."""

from functools import partial
from typing import Any, Literal, NoReturn

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import promote_dtype
from jaxtyping import Array, Bool, Float

from man_jax.networks.backbone_traits import AUTO_ACTIVATION
from man_jax.networks.convolution import kernel_initializer

Kind = Literal["vit", "clip"]
Activation = Literal["auto", "gelu", "quick_gelu"]

EPSILON = {"vit": 1e-6, "clip": 1e-5}
"""The epsilon of the layer norms, as in timm and OpenAI's code. (Hugging Face's ViT has 1e-12; in float32 it makes no
difference.)"""

MLP_RATIO = 4
"""The hidden layer of a block has this many times the width."""

NO_MAPS = (
    "a {} has no stages whose maps could be mixed or cut into parts; use a backbone that has, config.model.backbone="
    "resnet"
)

initializer = nn.initializers.truncated_normal(0.02)


def quick_gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Compute CLIP's approximation of GELU: x · sigmoid(1.702 x)."""
    return x * jax.nn.sigmoid(1.702 * x)


def exact_gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Compute GELU by the error function, as PyTorch's default."""
    return jax.nn.gelu(x, approximate=False)


def attention(
    q: Float[Array, "B N h d"],
    k: Float[Array, "B N h d"],
    v: Float[Array, "B N h d"],
    among: Bool[Array, "N N"] | None = None,
) -> Float[Array, "B N h d"]:
    """Compute softmax(q kᵀ / √d) v of every head; the softmax has at least single precision.

    With `among`, token i attends to the tokens of its row only, of which there must be one.

    (`jax.nn.dot_product_attention` would round a double's softmax to single.)
    """
    precise = jnp.promote_types(q.dtype, jnp.float32)
    logits = jnp.einsum("bqhd,bkhd->bhqk", q, k, preferred_element_type=precise)
    if among is not None:
        logits = jnp.where(among[None, None], logits, -jnp.inf)
    weights = jax.nn.softmax(logits / np.sqrt(q.shape[-1]).astype(precise), axis=-1)
    return jnp.einsum("bhqk,bkhd->bqhd", weights.astype(v.dtype), v)


def extract_patches(
    images: Float[Array, "B H W C"], *, size: int, stride: int
) -> Float[Array, "B h S w S C"]:
    """Cut squares of size × size pixels, `stride` apart; a rest at the right and below is left out."""
    rows, columns = (
        np.arange(1 + (length - size) // stride)[:, None] * stride + np.arange(size)
        for length in images.shape[1:3]
    )
    return images[:, rows][:, :, :, columns]


class Block(nn.Module):
    """Attention and MLP, each behind a norm and added to its input."""

    width: int
    heads: int
    activation: Activation
    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Float[Array, "B N E"], among: Bool[Array, "N N"] | None = None
    ) -> Float[Array, "B N E"]:
        """Transform a batch of token sequences; with `among`, a token attends to the tokens of its row only."""
        norm = partial(LayerNorm, epsilon=self.epsilon, dtype=self.dtype)
        dense = partial(nn.Dense, kernel_init=initializer, dtype=self.dtype)
        shape = (*x.shape[:2], self.heads, self.width // self.heads)
        qkv = dense(3 * self.width, name="qkv")(norm(name="norm1")(x))
        q, k, v = (part.reshape(shape) for part in jnp.split(qkv, 3, axis=-1))
        attended = attention(q, k, v, among).reshape(x.shape)
        x = x + dense(self.width, name="out")(attended)
        y = dense(MLP_RATIO * self.width, name="fc1")(norm(name="norm2")(x))
        y = quick_gelu(y) if self.activation == "quick_gelu" else exact_gelu(y)
        return x + dense(self.width, name="fc2")(y)


class LayerNorm(nn.LayerNorm):
    """Layer normalisation by the two-pass variance, since E[x²] − E[x]² loses digits."""

    use_fast_variance: bool = False


class ViT(nn.Module):
    """A network from a normalised image to the final class token, D = `width`, or `projection` if that is not 0.

    `stride` below `patch` lets the patches overlap (He et al., ICCV 2021). `clip` differs from `vit` by a norm
    before the blocks, no bias of the patches, and its GELU. There is no batch normalisation, and `train` changes
    nothing: there is no dropout either.
    """

    kind: Kind = "vit"
    patch: int = 16
    stride: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    projection: int = 0
    activation: Activation = "auto"
    """The MLPs' activation. `auto`: `gelu` in a vit, `quick_gelu` in a clip, as OpenAI's has; LAION's has `gelu`."""
    epsilon: float = 0.0
    """The epsilon of the layer norms; 0: EPSILON[kind]."""
    remat: Literal["none", "block"] = "none"
    dtype: Any = None
    """The type of the computation; None: the type of the parameters and images."""

    @property
    def dim(self) -> int:
        """Length D of the feature vector."""
        return self.projection or self.width

    def grid(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Count the rows and columns of patches in an image of (H, W)."""
        height, width = (1 + (length - self.patch) // self.stride for length in image_size)
        return height, width

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"], *, train: bool) -> Float[Array, "B D"]:
        """Compute the features of a batch of images, in the images' type."""
        del train
        norm = partial(LayerNorm, epsilon=self.epsilon or EPSILON[self.kind], dtype=self.dtype)
        x = self._tokens(images)
        if self.kind == "clip":
            x = norm(name="pre_norm")(x)
        block = nn.remat(Block) if self.remat == "block" else Block
        for i in range(self.depth):
            x = block(
                self.width,
                self.heads,
                AUTO_ACTIVATION[self.kind] if self.activation == "auto" else self.activation,
                self.epsilon or EPSILON[self.kind],
                self.dtype,
                name=f"block{i}",
            )(x)
        x = norm(name="norm")(x[:, 0])
        if self.projection:
            dense = partial(nn.Dense, use_bias=False, kernel_init=initializer, dtype=self.dtype)
            x = dense(self.projection, name="projection")(x)
        return x.astype(images.dtype)

    def maps(self, *_: Any, **_keywords: Any) -> NoReturn:
        """Refuse to give maps, because the class token has no place in a map.

        Raises:
            ValueError: always.
        """
        raise ValueError(NO_MAPS.format(self.kind))

    def from_stage(self, *_: Any, **_keywords: Any) -> NoReturn:
        """Refuse to begin at a stage, because there are none.

        Raises:
            ValueError: always.
        """
        raise ValueError(NO_MAPS.format(self.kind))

    def _tokens(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B N E"]:
        """Compute the class token and the patches' tokens, row by row, and add the position of each."""
        patches = extract_patches(images, size=self.patch, stride=self.stride)
        tokens = PatchEmbedding(self.width, self.kind == "vit", self.dtype, name="patch")(patches)
        batch, count = tokens.shape[0], 1 + tokens.shape[1]
        first = self.param("class_token", initializer, (self.width,))
        position = self.param("position", initializer, (count, self.width))
        first = jnp.broadcast_to(first.astype(tokens.dtype), (batch, 1, self.width))
        return jnp.concatenate([first, tokens], axis=1) + position.astype(tokens.dtype)[None]


class PatchEmbedding(nn.Module):
    """One linear map of every patch; its kernel [S, S, C, E] is that of the libraries' convolution."""

    width: int
    use_bias: bool
    dtype: Any

    @nn.compact
    def __call__(self, patches: Float[Array, "B h S w S C"]) -> Float[Array, "B N E"]:
        """Compute the tokens of the patches, row by row."""
        batch, rows, size, columns, _, channels = patches.shape
        kernel = self.param("kernel", kernel_initializer, (size, size, channels, self.width))
        patches, kernel = promote_dtype(patches, kernel, dtype=self.dtype)
        tokens = jnp.einsum("bhpwqc,pqce->bhwe", patches, kernel).reshape(batch, rows * columns, self.width)
        if not self.use_bias:
            return tokens
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        return tokens + bias.astype(tokens.dtype)[None, None]
