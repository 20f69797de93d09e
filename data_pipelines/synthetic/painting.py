"""Choose the material by a hit's position: windows, lamps, stripes and road markings."""

from typing import cast

import jax.numpy as jnp
from jax import Array

from data_pipelines.synthetic.geometry import BODY, CABIN, FIXED, WHEEL, Hits, axle_offset
from data_pipelines.synthetic.materials import Material
from data_pipelines.synthetic.shapes import Dimensions, Shape


def paint(hits: Hits, shape: Shape, ground: Array, scene: Array) -> Array:
    """Paint every hit with a material [P]; `ground` [2, P] are the scene's coordinates, `scene` [6] its markings."""
    dims = Dimensions(*cast(tuple[float, ...], tuple(shape.measures)))  # traced scalars, used as floats
    fixed = hits.part - FIXED
    material = jnp.where(fixed >= 0, fixed, Material.PAINT)
    material = jnp.where(fixed == Material.CARGO, _cargo(hits, shape, dims), material)
    material = jnp.where(hits.part == BODY, _lower(hits, shape, dims), material)
    material = jnp.where(hits.part == CABIN, _cabin(hits, shape, dims), material)
    material = jnp.where(hits.part == WHEEL, _wheel(hits, shape), material)
    material = jnp.where(fixed == Material.GROUND, _road(ground, scene), material)
    return jnp.where(fixed == Material.WALL, _wall(hits.position[2], ground, scene), material)


def _modulo(value: Array, period: Array | float) -> Array:
    """Compute `value % period` for a positive period, because the operator is not vectorised on a CPU."""
    return value - period * jnp.floor(value / period)


def _between(value: Array, low: Array | float, high: Array | float) -> Array:
    return (value > low) & (value < high)


def _layers(base: Array | int, *layers: tuple[Array, Material | Array]) -> Array:
    """Paint from the first coat to the last; later coats cover earlier ones."""
    material = jnp.asarray(base)
    for mask, coat in layers:
        material = jnp.where(mask, coat, material)
    return material


def _lower(hits: Hits, shape: Shape, d: Dimensions) -> Array:
    x, y, z = hits.position
    nx, ny, nz = hits.face
    _, stripe, logo, lamps, _, plate = shape.choices
    side, front, rear = jnp.abs(ny) > 0.75, nx > 0.4, nx < -0.4
    arch = axle_offset(x, shape.wheels) ** 2 + (z - d.wheel) ** 2 < (1.16 * d.wheel) ** 2
    rise = d.belt - d.clearance
    striped = (
        ((stripe == 1) & side & _between(z, d.belt - 0.24, d.belt - 0.09))
        | ((stripe == 2) & side & _between(z, d.clearance + 0.12, d.clearance + 0.34))
        | ((stripe == 3) & (nz < 0.5) & (z < d.clearance + 0.5 * rise))
        | ((stripe == 4) & (nz > 0.5) & (jnp.abs(y) < 0.28 * d.width))
    )
    door = (jnp.abs(x - d.screen + 0.35) < 0.016) | (jnp.abs(x - d.screen + 1.45) < 0.016)
    low, high = jnp.array([0.52, 0.6, 0.68])[lamps] * d.nose, jnp.array([0.86, 0.84, 0.92])[lamps] * d.nose
    lamp_width = jnp.array([0.3, 0.22, 0.4])[lamps]
    outer = jnp.abs(y) > d.width / 2 - 0.12 - lamp_width
    plate_z = d.clearance + jnp.array([0.22, 0.28, 0.34])[plate]
    plated = (jnp.abs(y) < 0.27) & (jnp.abs(z - plate_z) < 0.07)
    return _layers(
        Material.PAINT,
        (striped, Material.STRIPE),
        (side & _logo(x, z, logo, d, d.clearance + 0.55 * rise, 0.17), Material.LOGO),
        (side & door & (z > d.clearance + 0.15), Material.GAP),
        (z < d.clearance + 0.09, Material.TRIM),
        (front & (jnp.abs(y) < 0.42 * d.width / 2) & _between(z, 0.55 * d.nose, 0.86 * d.nose), Material.GAP),
        ((front | rear) & _between(z, d.clearance, d.clearance + 0.17), Material.TRIM),
        (front & outer & _between(z, low, high), Material.HEADLAMP),
        (rear & outer & _between(z, 0.62 * d.tail, 0.92 * d.tail), Material.TAILLAMP),
        ((front | rear) & plated, Material.PLATE),
        (side & arch, Material.GAP),
        (nz < -0.5, Material.GAP),
    )


def _logo(x: Array, z: Array, logo: Array, d: Dimensions, middle: float, half: float) -> Array:
    door = _between(x, d.screen - 1.2, d.screen - 0.5)
    panel = _between(x, d.back + 0.2, d.back + 1.1)
    long = _between(x, d.back + 0.3, d.screen - 0.5)
    along = ((logo == 1) & door) | ((logo == 2) & panel) | ((logo == 3) & long)
    return along & (jnp.abs(z - middle) < half)


def _cabin(hits: Hits, shape: Shape, d: Dimensions) -> Array:
    x, y, z = hits.position
    nx, ny, nz = hits.face
    windows = shape.choices[4]
    side, front, rear, top = jnp.abs(ny) > 0.6, nx > 0.35, nx < -0.35, nz > 0.9
    up = jnp.clip((z - d.belt) / (d.height - d.belt), 0.0, 1.0)
    pane = _between(z, d.belt + 0.03, d.belt + 0.8 * (d.height - d.belt))
    ahead = d.screen - d.screen_run * up - x
    behind = x - d.back - d.back_run * up
    pitch = jnp.array([1.1, 0.95, 1.3])[windows]
    pillar = jnp.abs(_modulo(ahead - 0.45 + pitch / 2, pitch) - pitch / 2) < 0.04
    rear_margin = jnp.array([0.12, 0.28, 0.5])[windows]
    half = d.width / 2 - 0.13 - d.tumble * up
    pane_side = side & pane & (ahead > 0.13) & (behind > rear_margin) & (x > d.panes_end) & ~pillar
    return _layers(
        Material.PAINT,
        (top, Material.ROOF),
        ((windows == 2) & top & _between(ahead, 0.1, 0.8) & (jnp.abs(y) < half - 0.1), Material.GLASS),
        (pane_side, Material.GLASS),
        ((front | rear) & (nz < 0.97) & (jnp.abs(y) < half) & _between(up, 0.06, 0.9), Material.GLASS),
    )


def _cargo(hits: Hits, shape: Shape, d: Dimensions) -> Array:
    x, y, z = hits.position
    _, stripe, logo, _, _, _ = shape.choices
    side, rear = jnp.abs(hits.face[1]) > 0.5, hits.face[0] < -0.5
    middle = -d.length / 2 + 1.9
    sign = side & (jnp.abs(z - 2.05) < 0.42) & (jnp.abs(x - middle) < jnp.array([0.0, 0.7, 1.1, 1.5])[logo])
    return _layers(
        Material.CARGO,
        ((stripe == 1) & side & _between(z, 2.6, 2.8), Material.STRIPE),
        ((stripe == 2) & side & _between(z, 1.05, 1.3), Material.STRIPE),
        ((stripe == 3) & side & (z < 1.6), Material.STRIPE),
        ((stripe == 4) & side & (x > middle + 1.0), Material.STRIPE),
        (sign, Material.LOGO),
        (rear & (jnp.abs(y) < 0.02), Material.GAP),
        (z < 1.0, Material.TRIM),
        (rear & (z < 1.12) & (jnp.abs(y) > 0.75), Material.TAILLAMP),
    )


def _wheel(hits: Hits, shape: Shape) -> Array:
    """Paint the rims by Chebyshev polynomials, which give cos 5θ from cos θ without an arctangent."""
    x, _, z = hits.position
    radius, rim = shape.wheels[0, 2], shape.choices[0]
    offset = axle_offset(x, shape.wheels)
    distance = jnp.sqrt(offset**2 + (z - radius) ** 2 + 1e-9)
    c = (z - radius) / distance
    five = ((16 * c * c - 20) * c * c + 5) * c
    rho = distance / radius
    open_ = jnp.stack([rho < 0, five < -0.2, five * five < 0.3, rho < 0.4])[rim] & (rho > 0.18)
    return _layers(
        Material.TYRE,
        ((rho < 0.66) & (jnp.abs(hits.face[1]) > 0.5), jnp.where(open_, Material.GAP, Material.RIM)),
    )


def _road(ground: Array, scene: Array) -> Array:
    """Paint lane lines, whose spacing and phase depend on the camera; along the other direction they are dashed."""
    spacing, phase, dash, width, _, _ = scene
    across = jnp.abs(_modulo(ground[1] - phase + spacing / 2, spacing) - spacing / 2) < width
    dashed = _modulo(ground[0], 6.0) < dash
    return jnp.where(across & dashed, Material.LINE, Material.GROUND)


def _wall(z: Array, ground: Array, scene: Array) -> Array:
    """Paint a building with openings, or a hedge without openings, below the sky."""
    pitch, top = scene[4], scene[5]
    opening = (_modulo(ground[0], pitch) < 0.5 * pitch) & _between(_modulo(z, 3.0), 1.0, 2.4)
    return _layers(Material.WALL, (opening, Material.OPENING), (z > top, Material.SKY))
