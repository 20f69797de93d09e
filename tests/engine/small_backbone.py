"""A backbone with the interface of a ResNet, and so few operations that a step compiles in seconds."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from man_jax.networks.batch_norm import BatchNorm
from man_jax.networks.resnet import pool_maps

PATCH = 8
"""Pixels that one place of a map sees, in height and width."""


class SmallBackbone(nn.Module):
    """Stage 0 is a matrix for each patch, stage 1 a matrix for each place; both are normalised over the batch."""

    dim: int
    num_stages: int = 1

    def __call__(self, images: Float[Array, "B H W 3"], *, train: bool) -> Float[Array, "B D"]:
        return pool_maps(self.maps(images, train=train)[-1])

    def maps(
        self, images: Float[Array, "B H W 3"], *, train: bool, last: int | None = None
    ) -> tuple[Float[Array, "B h w D"], ...]:
        last = self.num_stages if last is None else last
        batch, height, width, _ = images.shape
        x = images.reshape(batch, height // PATCH, PATCH, width // PATCH, PATCH, 3).swapaxes(2, 3)
        return self._stages(x.reshape(*x.shape[:3], -1), first=0, last=last, train=train)

    def from_stage(self, maps: Float[Array, "B h w D"], *, stage: int, train: bool) -> Float[Array, "B D"]:
        later = self._stages(maps, first=stage + 1, last=self.num_stages, train=train)
        return pool_maps([maps, *later][-1])

    @nn.compact
    def _stages(self, x: Any, *, first: int, last: int, train: bool) -> tuple[Any, ...]:
        maps = []
        for stage in range(first, last + 1):
            x = nn.Dense(self.dim, use_bias=False, name=f"matrix{stage}")(x)
            x = BatchNorm(use_running_average=not train, name=f"norm{stage}")(x)
            x = jnp.maximum(x, 0.1 * x)
            maps.append(x)
        return tuple(maps)
