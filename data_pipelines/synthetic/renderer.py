"""Render triples: all three modalities share the same rays, in batches and in compiled stages.

                                                   ┌─► reflected light [4] ─┐
    vehicle, view ─► rays ─► nearest hits ─► materials                      sensors ─► R, N, T
                                                   └─► emitted heat    [1] ─┘

All values are arguments and none is a constant of the compilation, so one compilation draws every domain.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from data_pipelines.session.compilation import is_compiled
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
from data_pipelines.synthetic.shading import Weather, emitted, incidence, reflected
from data_pipelines.synthetic.shapes import Shape

HEIGHT, WIDTH = 128, 256
SUBPIXELS = ((-0.25, -0.25), (0.25, 0.25))
"""Rays per pixel, in pixels from its centre: two on a diagonal soften edges of every direction but one."""


class View(NamedTuple):
    """The place of the camera, and the crop."""

    yaw: Array  # [] radians; 0 is head-on
    elevation: Array  # []
    distance: Array  # [] metres
    zoom: Array  # [] 1 fits the vehicle's box exactly into the crop
    shift: Array  # [2] right, up, as shares of half the crop
    occluder: Array  # [4] left, bottom, right, top in [-1, 1]; empty when left > right


class Scene(NamedTuple):
    """The surroundings of the vehicle."""

    markings: Array  # [6] line spacing, phase, dash (of 6 m), half width, wall's pitch, wall's top
    wall: Array  # [] metres from the vehicle to the wall behind it
    table: Array  # [6, 8] `COLUMNS` of GROUND, LINE, WALL, OPENING, SKY, OCCLUDER
    texture: Array  # [3] frequency, phase, contrast of the ground


class Shot(NamedTuple):
    """Everything that one triple depends on."""

    shape: Shape
    finish: Finish
    view: View
    scene: Scene
    weather: Weather
    sensor: Sensor


def render(shots: Shot, *, height: int = HEIGHT, width: int = WIDTH) -> tuple[Array, Array]:
    """Render images [B, 3, H, W, 3] uint8 in the order R, N, T, and the vehicle's coverage [B, H, W] in [0, 1].

    Each stage is compiled separately. In one compilation, XLA would fuse the stages and compute the geometry again for
    everything that reads it.
    """
    rays = _aim(shots, height=height, width=width)
    near = _bodies(rays, shots.shape)
    near = _boxes(near, rays, shots.shape)
    near = _wheels(near, rays, shots.shape)
    hits = _unpack(near, rays, shots.shape)
    ground, texture = _ground(hits, rays, shots.scene)
    material = _paint(hits, ground, shots, height=height, width=width)
    columns = _columns(material, shots)
    light = _incidence(hits, rays, shots.shape.bounds, shots.weather)
    reflection = _reflected(hits, light, material, columns, texture, shots.weather)
    heat = _emitted(hits, light, material, columns, shots.finish.spots, shots.weather)
    return _develop(reflection, heat, material, shots.sensor, height=height, width=width)


def has_drawn() -> bool:
    """Tell whether this process has drawn something already, so that nothing is left to compile."""
    return is_compiled(_bodies)


_bodies = jax.jit(jax.vmap(nearest_bodies))
_boxes = jax.jit(jax.vmap(nearest_boxes))
_wheels = jax.jit(jax.vmap(nearest_wheels))
_unpack = jax.jit(jax.vmap(unpack))
_incidence = jax.jit(jax.vmap(incidence))
_reflected = jax.jit(jax.vmap(reflected))
_emitted = jax.jit(jax.vmap(emitted))


@partial(jax.jit, static_argnames=("height", "width"))
def _aim(shots: Shot, height: int, width: int) -> Rays:
    def aim(shot: Shot) -> Rays:
        target = jnp.mean(shot.shape.bounds, axis=0)
        camera = look_at(target, shot.view.yaw, shot.view.elevation, shot.view.distance)
        x, y = _pixels(height, width)
        scale, middle = _frame(camera, shot, width / height)
        return cast(camera, middle[0] + scale[0] * x, middle[1] + scale[1] * y, shot.scene.wall)

    return jax.vmap(aim)(shots)


@jax.jit
def _ground(hits: Hits, rays: Rays, scene: Scene) -> tuple[Array, Array]:
    def one(hits: Hits, rays: Rays, scene: Scene) -> tuple[Array, Array]:
        axes = rays.ground_axes
        ground = axes[:, 0, None] * hits.position[None, 0] + axes[:, 1, None] * hits.position[None, 1]
        return ground, _texture(ground, scene.texture)

    return jax.vmap(one)(hits, rays, scene)


@partial(jax.jit, static_argnames=("height", "width"))
def _paint(hits: Hits, ground: Array, shots: Shot, height: int, width: int) -> Array:
    def one(hits: Hits, ground: Array, shot: Shot) -> Array:
        material = paint(hits, shot.shape, ground, shot.scene.markings)
        left, bottom, right, top = shot.view.occluder
        x, y = _pixels(height, width)
        hidden = (x > left) & (x < right) & (y > bottom) & (y < top)
        return jnp.where(hidden, Material.OCCLUDER, material)

    return jax.vmap(one)(hits, ground, shots)


@jax.jit
def _columns(material: Array, shots: Shot) -> Array:
    def one(material: Array, shot: Shot) -> Array:
        return jnp.concatenate([shot.finish.table, shot.scene.table])[material].T

    return jax.vmap(one)(material, shots)


@partial(jax.jit, static_argnames=("height", "width"))
def _develop(
    light: Array, heat: Array, material: Array, sensor: Sensor, height: int, width: int
) -> tuple[Array, Array]:
    def one(light: Array, heat: Array, material: Array, sensor: Sensor) -> tuple[Array, Array]:
        coverage = (material < Material.GROUND).astype(jnp.float32)
        planes = jnp.concatenate([light, heat[None], coverage[None]])
        planes = planes.reshape(6, len(SUBPIXELS), height, width).mean(axis=1)
        return expose(planes[:5], sensor), planes[5]

    return jax.vmap(one)(light, heat, material, sensor)


def _pixels(height: int, width: int) -> tuple[Array, Array]:
    """List the image coordinates [P] in [-1, 1], x to the right and y up, subpixel by subpixel."""
    rows, columns = jnp.meshgrid(jnp.arange(height) + 0.5, jnp.arange(width) + 0.5, indexing="ij")
    x = [(columns + dx).ravel() * (2.0 / width) - 1.0 for dx, _ in SUBPIXELS]
    y = [1.0 - (rows + dy).ravel() * (2.0 / height) for _, dy in SUBPIXELS]
    return jnp.concatenate(x), jnp.concatenate(y)


def _frame(camera: Camera, shot: Shot, aspect: float) -> tuple[Array, Array]:
    """Fit the crop to the vehicle's box without distorting it; give its half size and its middle."""
    low, high = shot.shape.bounds
    corners = jnp.stack([jnp.where(jnp.array([i & 1, i & 2, i & 4]) > 0, high, low) for i in range(8)])
    points = project(camera, corners)
    least, most = points.min(axis=0), points.max(axis=0)
    half = (most - least) / 2.0
    tall = jnp.maximum(half[1], half[0] / aspect) / shot.view.zoom
    scale = jnp.stack([tall * aspect, tall])
    return scale, (least + most) / 2.0 - shot.view.shift * scale


def _texture(ground: Array, texture: Array) -> Array:
    """Draw stains and grain of the ground [P], as sines whose arguments are sines."""
    frequency, phase, contrast = texture
    u, v = ground[0] * frequency, ground[1] * frequency
    stains = jnp.sin(1.9 * u + 2.0 * jnp.sin(0.8 * v + phase))
    grain = jnp.sin(17.0 * u + 13.0 * v + 4.0 * stains)
    return 1.0 + contrast * (stains + 0.4 * grain)
