"""The renderer: one pass of rays shared by three modalities, batched and jitted.

    vehicle, view ─► rays ─► nearest hits ─► materials ─► radiance [5] ─► sensor ─► R, N, T

Everything is an argument, nothing a constant of the compilation: one compilation draws every domain.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from data_pipelines.synthetic.geometry import Camera, look_at, project, ray_directions, trace
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


@partial(jax.jit, static_argnames=("height", "width"))
def render(shots: Shot, *, height: int = HEIGHT, width: int = WIDTH) -> tuple[Array, Array]:
    """Images [B, 3, H, W, 3] uint8 in the order R, N, T, and the vehicle's coverage [B, H, W] in [0, 1].

    One image after the other (`lax.map`), so that its arrays stay in the cache; call it from several
    threads to use several cores.
    """
    return jax.lax.map(partial(_render, height=height, width=width), shots)


def _render(shot: Shot, height: int, width: int) -> tuple[Array, Array]:
    camera = _camera(shot)
    x, y = _pixels(height, width)
    scale, middle = _frame(camera, shot, width / height)
    direction = ray_directions(camera, middle[0] + scale[0] * x, middle[1] + scale[1] * y)
    wall_normal = camera.forward[:2] / jnp.sqrt(jnp.sum(camera.forward[:2] ** 2))
    wall = jnp.concatenate([wall_normal, shot.scene.wall[None]])
    hits = trace(camera.origin, direction, shot.shape, wall)
    ground = jnp.stack(
        [
            camera.right[0] * hits.position[0] + camera.right[1] * hits.position[1],
            wall_normal[0] * hits.position[0] + wall_normal[1] * hits.position[1],
        ]
    )
    material = paint(hits, shot.shape, ground, shot.scene.markings)
    left, bottom, right, top = shot.view.occluder
    hidden = (x > left) & (x < right) & (y > bottom) & (y < top)
    material = jnp.where(hidden, Material.OCCLUDER, material)
    table = jnp.concatenate([shot.finish.table, shot.scene.table])
    texture = _texture(ground, shot.scene.texture)
    bands = radiance(
        hits, direction, material, table, shot.finish.spots, texture, shot.shape.bounds, shot.weather
    )
    vehicle = material < Material.GROUND
    both = jnp.concatenate([bands, vehicle.astype(jnp.float32)[None]])
    pixels = both.reshape(6, len(SUBPIXELS), height, width).mean(axis=1)
    return expose(pixels[:5], shot.sensor), pixels[5]


def _pixels(height: int, width: int) -> tuple[Array, Array]:
    """Image coordinates [P] in [-1, 1], x to the right, y up, subpixel by subpixel."""
    rows, columns = jnp.meshgrid(jnp.arange(height) + 0.5, jnp.arange(width) + 0.5, indexing="ij")
    x = [(columns + dx).ravel() * (2.0 / width) - 1.0 for dx, _ in SUBPIXELS]
    y = [1.0 - (rows + dy).ravel() * (2.0 / height) for _, dy in SUBPIXELS]
    return jnp.concatenate(x), jnp.concatenate(y)


def _camera(shot: Shot) -> Camera:
    target = jnp.mean(shot.shape.bounds, axis=0)
    return look_at(target, shot.view.yaw, shot.view.elevation, shot.view.distance)


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
