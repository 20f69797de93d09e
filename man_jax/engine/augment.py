"""Augmentation and normalisation of whole batches, on the device, inside the step."""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, UInt8


class Augmentation(NamedTuple):
    """How training images vary. Flip and crop are drawn once for a triple, because its images are pixel-aligned."""

    flip: float = 0.5
    """Probability of a left-right flip."""
    pad: int = 10
    """Black pixels on every side before the random crop back to size."""
    erase: float = 0.5
    """Probability that a rectangle of an image is erased (Zhong et al., AAAI 2020); drawn per modality."""
    erase_area: tuple[float, float] = (0.02, 1 / 3)
    """Range of the rectangle's share of the image."""
    erase_aspect: tuple[float, float] = (0.3, 1 / 0.3)
    """Range of its height over its width."""
    erase_aspect_form: Literal["uniform", "log_uniform"] = "uniform"
    """How the aspect is drawn; by its logarithm, wide rectangles are as frequent as tall ones."""
    erase_fill: Literal["zero", "noise"] = "zero"
    """What an erased pixel becomes: 0, which is the mean, or numbers from the standard normal distribution."""
    per_modality: bool = False
    """Draw flip and crop per modality as well, as the released code does."""


class Normalization(NamedTuple):
    """Per-channel mean and standard deviation of images in [0, 1]."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


def normalize(images: UInt8[Array, "... 3"], normalization: Normalization) -> Float[Array, "... 3"]:
    """Turn bytes into numbers of about zero mean and unit deviation."""
    shape = (1,) * (images.ndim - 1) + (3,)
    mean, std = (jnp.asarray(values).reshape(shape) for values in normalization)
    return (images.astype(jnp.float32) / 255.0 - mean) / std


def augment(
    key: PRNGKeyArray,
    images: UInt8[Array, "B M H W 3"],
    augmentation: Augmentation,
    normalization: Normalization,
) -> Float[Array, "B M H W 3"]:
    """Flip, crop, normalise and erase."""
    batch, modalities, height, width, _ = images.shape
    flip_key, crop_key, erase_key = jax.random.split(key, 3)
    draws = modalities if augmentation.per_modality else 1

    def once_a_triple(values):
        return jnp.broadcast_to(values, (batch, modalities, *values.shape[2:]))

    flipped = once_a_triple(jax.random.bernoulli(flip_key, augmentation.flip, (batch, draws)))
    images = jnp.where(flipped[..., None, None, None], images[..., ::-1, :], images)
    corner = jax.random.randint(crop_key, (batch, draws, 2), 0, 2 * augmentation.pad + 1)
    images = _shift(images, once_a_triple(corner), pad=augmentation.pad)
    keys = jax.random.split(erase_key, (batch, modalities))
    mask = jax.vmap(jax.vmap(lambda k: erasing_mask(k, height, width, augmentation)))(keys)
    noise_key = jax.random.fold_in(erase_key, 1)
    fill = jax.random.normal(noise_key, images.shape) if augmentation.erase_fill == "noise" else 0.0
    return jnp.where(mask[..., None], fill, normalize(images, normalization))


def erasing_mask(
    key: PRNGKeyArray, height: int, width: int, augmentation: Augmentation
) -> Bool[Array, "H W"]:
    """Mark the rectangle to erase with True; with probability 1 − erase there is none.

    Differs from Zhong et al.: a rectangle that does not fit is cut to the image instead of being drawn again.
    """
    coin_key, area_key, aspect_key, top_key, left_key = jax.random.split(key, 5)
    area = height * width * _uniform(area_key, augmentation.erase_area)
    if augmentation.erase_aspect_form == "log_uniform":
        least, largest = augmentation.erase_aspect
        aspect = jnp.exp(_uniform(aspect_key, (math.log(least), math.log(largest))))
    else:
        aspect = _uniform(aspect_key, augmentation.erase_aspect)
    tall = jnp.minimum(jnp.round(jnp.sqrt(area * aspect)), height)
    wide = jnp.minimum(jnp.round(jnp.sqrt(area / aspect)), width)
    top = jnp.floor(jax.random.uniform(top_key) * (height - tall + 1))
    left = jnp.floor(jax.random.uniform(left_key) * (width - wide + 1))
    rows, columns = jnp.arange(height)[:, None], jnp.arange(width)[None, :]
    inside = (rows >= top) & (rows < top + tall) & (columns >= left) & (columns < left + wide)
    return inside & jax.random.bernoulli(coin_key, augmentation.erase)


def _uniform(key: PRNGKeyArray, bounds: tuple[float, float]) -> Float[Array, ""]:
    return jax.random.uniform(key, minval=bounds[0], maxval=bounds[1])


def _shift(images, corner, *, pad: int):
    """Pad with black and cut back to size at the given corner, one corner an image."""
    height, width = images.shape[2:4]
    padded = jnp.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad), (0, 0)))

    def cut(image, corner):
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), (height, width, 3))

    return jax.vmap(jax.vmap(cut))(padded, corner)
