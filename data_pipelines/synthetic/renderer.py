"""The renderer: one pass of rays shared by three modalities, in batches and in compiled stages.

    vehicle, view ─► rays ─► nearest hits ─► materials ─► radiance [5] ─► sensor ─► R, N, T

Everything is an argument, nothing a constant of the compilation: one compilation draws every domain.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from data_pipelines.synthetic.geometry import (
    Camera,
    Hits,
    Rays,
    cast,
    look_at,
    nearest_bodies,
    nearest_boxes,
    nearest_wheels,
    project,
    unpack,
)
from data_pipelines.synthetic.materials import Finish, Material
from data_pipelines.synthetic.painting import paint
from data_pipelines.synthetic.sensor import Sensor, expose
from data_pipelines.synthetic.shading import Weather, radiance
from data_pipelines.synthetic.shapes import Shape

HEIGHT, WIDTH = 128, 256
SUBPIXELS = ((-0.25, -0.25), (0.25, 0.25))
"""Rays per pixel, in pixels from its centre: two on a diagonal soften edges of every direction but one."""


class View(NamedTuple):
    """From where, and framed how."""

    yaw: Array  # [] radians; 0 is head-on
    elevation: Array  # []
    distance: Array  # [] metres
    zoom: Array  # [] 1 fits the vehicle's box exactly into the crop
    shift: Array  # [2] right, up, as shares of half the crop
    occluder: Array  # [4] left, bottom, right, top in [-1, 1]; empty when left > right


class Scene(NamedTuple):
    """What stands around the vehicle."""

    markings: Array  # [6] line spacing, phase, dash (of 6 m), half width, wall's pitch, wall's top
    wall: Array  # [] metres from the vehicle to the wall behind it
    table: Array  # [6, 8] `COLUMNS` of GROUND, LINE, WALL, OPENING, SKY, OCCLUDER
    texture: Array  # [3] frequency, phase, contrast of the ground


class Shot(NamedTuple):
    """Everything one triple depends on."""

    shape: Shape
    finish: Finish
    view: View
    scene: Scene
    weather: Weather
    sensor: Sensor


def render(shots: Shot, *, height: int = HEIGHT, width: int = WIDTH) -> tuple[Array, Array]:
    """Images [B, 3, H, W, 3] uint8 in the order R, N, T, and the vehicle's coverage [B, H, W] in [0, 1].

    Each stage is compiled by itself: within one compilation XLA would fuse across the stages and compute the
    geometry again for everything that reads it.
    """
    rays = _aim(shots, height=height, width=width)
    near = _bodies(rays, shots.shape)
    near = _boxes(near, rays, shots.shape)
    near = _wheels(near, rays, shots.shape)
    hits = _unpack(near, rays, shots.shape)
    material, texture = _paint(hits, rays, shots, height=height, width=width)
    bands = _radiance(hits, rays, material, texture, shots)
    return _expose(bands, material, shots.sensor, height=height, width=width)


_bodies = jax.jit(jax.vmap(nearest_bodies))
_boxes = jax.jit(jax.vmap(nearest_boxes))
_wheels = jax.jit(jax.vmap(nearest_wheels))
_unpack = jax.jit(jax.vmap(unpack))


@partial(jax.jit, static_argnames=("height", "width"))
def _aim(shots: Shot, height: int, width: int) -> Rays:
    def aim(shot: Shot) -> Rays:
        target = jnp.mean(shot.shape.bounds, axis=0)
        camera = look_at(target, shot.view.yaw, shot.view.elevation, shot.view.distance)
        x, y = _pixels(height, width)
        scale, middle = _frame(camera, shot, width / height)
        return cast(camera, middle[0] + scale[0] * x, middle[1] + scale[1] * y, shot.scene.wall)

    return jax.vmap(aim)(shots)


@partial(jax.jit, static_argnames=("height", "width"))
def _paint(hits: Hits, rays: Rays, shots: Shot, height: int, width: int) -> tuple[Array, Array]:
    def one(hits: Hits, rays: Rays, shot: Shot) -> tuple[Array, Array]:
        axes = rays.ground_axes
        ground = axes[:, 0, None] * hits.position[0] + axes[:, 1, None] * hits.position[1]
        material = paint(hits, shot.shape, ground, shot.scene.markings)
        left, bottom, right, top = shot.view.occluder
        x, y = _pixels(height, width)
        hidden = (x > left) & (x < right) & (y > bottom) & (y < top)
        return jnp.where(hidden, Material.OCCLUDER, material), _texture(ground, shot.scene.texture)

    return jax.vmap(one)(hits, rays, shots)


@jax.jit
def _radiance(hits: Hits, rays: Rays, material: Array, texture: Array, shots: Shot) -> Array:
    def one(hits: Hits, rays: Rays, material: Array, texture: Array, shot: Shot) -> Array:
        table = jnp.concatenate([shot.finish.table, shot.scene.table])
        bounds, weather = shot.shape.bounds, shot.weather
        return radiance(hits, rays.direction, material, table, shot.finish.spots, texture, bounds, weather)

    return jax.vmap(one)(hits, rays, material, texture, shots)


@partial(jax.jit, static_argnames=("height", "width"))
def _expose(bands: Array, material: Array, sensor: Sensor, height: int, width: int) -> tuple[Array, Array]:
    def one(bands: Array, material: Array, sensor: Sensor) -> tuple[Array, Array]:
        size = (len(SUBPIXELS), height, width)
        coverage = (material < Material.GROUND).astype(jnp.float32).reshape(size).mean(axis=0)
        return expose(bands.reshape(5, *size).mean(axis=1), sensor), coverage

    return jax.vmap(one)(bands, material, sensor)


def _pixels(height: int, width: int) -> tuple[Array, Array]:
    """Image coordinates [P] in [-1, 1], x to the right, y up, subpixel by subpixel."""
    rows, columns = jnp.meshgrid(jnp.arange(height) + 0.5, jnp.arange(width) + 0.5, indexing="ij")
    x = [(columns + dx).ravel() * (2.0 / width) - 1.0 for dx, _ in SUBPIXELS]
    y = [1.0 - (rows + dy).ravel() * (2.0 / height) for _, dy in SUBPIXELS]
    return jnp.concatenate(x), jnp.concatenate(y)


def _frame(camera: Camera, shot: Shot, aspect: float) -> tuple[Array, Array]:
    """Half size and middle of the crop, fitted to the vehicle's box without distorting it."""
    low, high = shot.shape.bounds
    corners = jnp.stack([jnp.where(jnp.array([i & 1, i & 2, i & 4]) > 0, high, low) for i in range(8)])
    points = project(camera, corners)
    least, most = points.min(axis=0), points.max(axis=0)
    half = (most - least) / 2.0
    tall = jnp.maximum(half[1], half[0] / aspect) / shot.view.zoom
    scale = jnp.stack([tall * aspect, tall])
    return scale, (least + most) / 2.0 - shot.view.shift * scale


def _texture(ground: Array, texture: Array) -> Array:
    """Stains and grain of the ground [P]: a few sines warped by one another."""
    frequency, phase, contrast = texture
    u, v = ground[0] * frequency, ground[1] * frequency
    warp = jnp.sin(1.3 * u + phase) + jnp.sin(0.9 * v - 2.0 * phase)
    stains = jnp.sin(0.7 * v + 1.9 * warp + phase) * jnp.sin(1.1 * u - 1.3 * warp)
    grain = jnp.sin(17.0 * u + 5.0 * warp) * jnp.sin(23.0 * v - 3.0 * warp)
    return 1.0 + contrast * (stains + 0.4 * grain)
