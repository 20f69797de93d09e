"""Turn radiance into the eight bits of three cameras: exposure, flare, blur, noise, response."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class Sensor(NamedTuple):
    """The settings of the three cameras at one moment. Three-vectors are in the order RGB, near-infrared, thermal."""

    exposure: Array  # [2] RGB, near-infrared
    cast: Array  # [3] red, green, blue gains of the white balance
    gamma: Array  # [2] RGB, near-infrared
    thermal_gain: Array  # [] grey levels (of 1) per degree; negative for black-hot
    thermal_level: Array  # [] grey level of the air's temperature
    blur: Array  # [3] standard deviation in pixels
    noise: Array  # [3] standard deviation in grey levels of 1
    stripes: Array  # [] standard deviation of the thermal camera's column noise
    vignette: Array  # []
    flare: Array  # [3, 6] x, y in [-1, 1], radius, and red, green, near-infrared strength
    seed: Array  # [] uint32


def expose(bands: Array, sensor: Sensor) -> Array:
    """Expose three images [3, H, W, 3] uint8, in the order R, N, T, from radiance [5, H, W]."""
    _, height, width = bands.shape
    y = jnp.linspace(1.0, -1.0, height)[:, None]
    x = jnp.linspace(-1.0, 1.0, width)[None, :]
    falloff = 1.0 - sensor.vignette * (x**2 + y**2) / 2.0
    light = (bands[:4] + _flare(x, y, sensor.flare)) * falloff[None]
    gain = jnp.concatenate([sensor.exposure[0] * sensor.cast, sensor.exposure[1:]])
    power = 1.0 / jnp.concatenate([jnp.repeat(sensor.gamma[0], 3), sensor.gamma[1:]])
    light = _blur(
        light * gain[:, None, None], jnp.concatenate([jnp.repeat(sensor.blur[0], 3), sensor.blur[1:2]])
    )
    reflective = (1.0 - jnp.exp(-light)) ** power[:, None, None]
    warm = _blur(bands[4:], sensor.blur[2:])
    thermal = sensor.thermal_level + sensor.thermal_gain * warm
    grey = jnp.concatenate([reflective, thermal])
    return _quantise(_add_noise(grey, sensor))


def _flare(x: Array, y: Array, lights: Array) -> Array:
    """Draw the glare [4, H, W] of a few strong lights: a core, a wide halo and a horizontal streak."""
    total = jnp.zeros((4, y.shape[0], x.shape[1]))
    for i in range(lights.shape[0]):
        dx, dy = 2.0 * (x - lights[i, 0]), y - lights[i, 1]
        square = (dx**2 + dy**2) / lights[i, 2] ** 2
        streak = 0.3 / (1.0 + 0.15 * (dx / lights[i, 2]) ** 2 + 80.0 * (dy / lights[i, 2]) ** 2)
        glow = 1.0 / (1.0 + square) + streak
        red, green, near = lights[i, 3], lights[i, 4], lights[i, 5]
        total += jnp.stack([red, green, 0.8 * green, near])[:, None, None] * glow[None]
    return total


def _blur(images: Array, sigma: Array) -> Array:
    """Blur images [C, H, W] by a Gaussian of 7 taps along both axes; sigma [C]."""
    taps = jnp.arange(-3, 4)
    weights = jnp.exp(-0.5 * (taps[None] / jnp.maximum(sigma, 0.05)[:, None]) ** 2)
    weights = weights / jnp.sum(weights, axis=1, keepdims=True)
    for axis in (1, 2):
        size = images.shape[axis]
        pad = [(0, 0), (3, 3) if axis == 1 else (0, 0), (3, 3) if axis == 2 else (0, 0)]
        wide = jnp.pad(images, pad, mode="edge")
        shifted = [jax.lax.slice_in_dim(wide, i, i + size, axis=axis) for i in range(7)]
        images = sum((weights[:, i, None, None] * image for i, image in enumerate(shifted)), jnp.zeros(()))
    return images


def _add_noise(grey: Array, sensor: Sensor) -> Array:
    """Add shot noise to each image, and to the thermal image noise that is the same in a whole column."""
    channels, height, width = grey.shape
    sigma = jnp.concatenate([jnp.repeat(sensor.noise[0], 3), sensor.noise[1:]])
    shot = _noise(sensor.seed, channels * height * width).reshape(grey.shape)
    columns = _noise(~sensor.seed, width) * sensor.stripes
    thermal = jnp.arange(channels) == channels - 1
    return grey + shot * sigma[:, None, None] + thermal[:, None, None] * columns[None, None]


def _noise(seed: Array, size: int) -> Array:
    """Draw nearly normal numbers [size] of variance 1, as the sum of four bytes of a hash of seed and index.

    `jax.random.normal` is ten times slower, and took longer than all the rays together.
    """
    bits = jnp.arange(size, dtype=jnp.uint32) * jnp.uint32(0x9E3779B9) + seed
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        bits = (bits ^ (bits >> shift)) * jnp.uint32(factor)
    bits ^= bits >> 16
    total = (bits & 255) + ((bits >> 8) & 255) + ((bits >> 16) & 255) + (bits >> 24)
    return (total.astype(jnp.float32) - 510.0) / 147.8


def _quantise(grey: Array) -> Array:
    """Turn [5, H, W] in [0, 1] into [3, H, W, 3] uint8; the two infrared images repeat their one channel."""
    eight = jnp.round(jnp.clip(grey, 0.0, 1.0) * 255.0).astype(jnp.uint8)
    rgb = jnp.moveaxis(eight[:3], 0, -1)
    return jnp.stack([rgb, *(jnp.repeat(eight[i][..., None], 3, axis=-1) for i in (3, 4))])
