"""Rays against primitives in closed form. Vectors are [3, P]: coordinates first, P pixels last."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from data_pipelines.synthetic.materials import Material
from data_pipelines.synthetic.shapes import NUM_BOXES, NUM_PLANES, NUM_WHEELS, Shape

FAR = 1e6

BODY, CABIN, WHEEL, FIXED = 0, 1, 2, 8
"""Parts of a hit. Body, cabin and wheels are painted by position; a part above FIXED is material + FIXED."""


class Camera(NamedTuple):
    """A pinhole in the vehicle's frame."""

    origin: Array  # [3]
    forward: Array  # [3] unit
    right: Array  # [3] unit, horizontal
    up: Array  # [3] unit


class Hits(NamedTuple):
    """The nearest surface under each pixel: what all three modalities see."""

    depth: Array  # [P] in units of the ray's direction
    part: Array  # [P] int32
    normal: Array  # [3, P] unit, outwards
    position: Array  # [3, P]


def look_at(target: Array, yaw: Array, elevation: Array, distance: Array) -> Camera:
    """A level camera that sees the vehicle from `yaw` (0 is head-on, in front) and `elevation`, in radians."""
    flat = jnp.stack([jnp.cos(yaw), jnp.sin(yaw), jnp.zeros_like(yaw)])
    toward = jnp.cos(elevation) * flat + jnp.sin(elevation) * jnp.array([0.0, 0.0, 1.0])
    right = jnp.stack([-jnp.sin(yaw), jnp.cos(yaw), jnp.zeros_like(yaw)])
    return Camera(target + distance * toward, -toward, right, jnp.cross(right, -toward))


def project(camera: Camera, points: Array) -> Array:
    """Image coordinates (right, up) [P, 2] of points [P, 3], on the plane one unit ahead."""
    offset = points - camera.origin[None]
    depth = offset @ camera.forward
    return jnp.stack([offset @ camera.right / depth, offset @ camera.up / depth], axis=-1)


def ray_directions(camera: Camera, x: Array, y: Array) -> Array:
    """Directions [3, P] of pixels at image coordinates x, y [P]; not normalised, one unit deep."""
    return camera.forward[:, None] + camera.right[:, None] * x[None] + camera.up[:, None] * y[None]


def trace(origin: Array, direction: Array, shape: Shape, wall: Array) -> Hits:
    """The nearest hit among vehicle, ground (z = 0) and a vertical wall n·p = d, `wall` = [nx, ny, d]."""
    depth, part, normal = _scene(origin, direction, wall)
    candidates = [(BODY, *_polyhedron(origin, direction, shape.lower))]
    candidates.append((CABIN, *_polyhedron(origin, direction, shape.cabin)))
    inverse = 1.0 / jnp.where(jnp.abs(direction) < 1e-6, 1e-6, direction)
    for i in range(NUM_BOXES):
        candidates.append((FIXED + shape.box_materials[i], *_box(origin, inverse, shape.boxes[i])))
    for i in range(NUM_WHEELS):
        candidates.append((WHEEL, *_wheel(origin, direction, shape.wheels[i])))
    for label, near, facing in candidates:
        closer = near < depth
        depth = jnp.where(closer, near, depth)
        part = jnp.where(closer, label, part)
        normal = [jnp.where(closer, new, old) for new, old in zip(facing, normal, strict=True)]
    return Hits(depth, part, jnp.stack(normal), origin[:, None] + direction * depth[None])


def _scene(origin: Array, direction: Array, wall: Array) -> tuple[Array, Array, list[Array]]:
    down = direction[2] < -1e-4
    ground = jnp.where(down, -origin[2] / jnp.where(down, direction[2], -1.0), FAR)
    facing = wall[0] * direction[0] + wall[1] * direction[1]
    wall_depth = (wall[2] - wall[0] * origin[0] - wall[1] * origin[1]) / facing
    on_wall = wall_depth < ground
    part = jnp.where(on_wall, FIXED + Material.WALL, FIXED + Material.GROUND)
    normal = [jnp.where(on_wall, -wall[0], 0.0), jnp.where(on_wall, -wall[1], 0.0), jnp.where(on_wall, 0.0, 1.0)]
    return jnp.where(on_wall, wall_depth, ground), part, normal


def _polyhedron(origin: Array, direction: Array, planes: Array) -> tuple[Array, list[Array]]:
    """Entry depth into the intersection of half-spaces n·p <= d, and the normal of the plane entered."""
    near = jnp.zeros_like(direction[0])
    far = jnp.full_like(near, FAR)
    normal = [near, near, near]
    for i in range(NUM_PLANES):
        nx, ny, nz, offset = (planes[i, j] for j in range(4))
        slope = nx * direction[0] + ny * direction[1] + nz * direction[2]
        depth = (offset - nx * origin[0] - ny * origin[1] - nz * origin[2]) / slope
        enters = (slope < 0) & (depth > near)
        near = jnp.where(enters, depth, near)
        far = jnp.where(slope > 0, jnp.minimum(far, depth), far)
        normal = [jnp.where(enters, n, old) for n, old in zip((nx, ny, nz), normal, strict=True)]
    return jnp.where((near < far) & (near > 0), near, FAR), normal


def _box(origin: Array, inverse: Array, box: Array) -> tuple[Array, list[Array]]:
    """Entry depth into an axis-aligned box (centre, half size) by the slab test, and the face's normal."""
    middle = [(box[i] - origin[i]) * inverse[i] for i in range(3)]
    reach = [box[3 + i] * jnp.abs(inverse[i]) for i in range(3)]
    enter = [m - r for m, r in zip(middle, reach, strict=True)]
    leave = [m + r for m, r in zip(middle, reach, strict=True)]
    near = jnp.maximum(jnp.maximum(enter[0], enter[1]), enter[2])
    far = jnp.minimum(jnp.minimum(leave[0], leave[1]), leave[2])
    normal = [jnp.where(enter[i] >= near, -jnp.sign(inverse[i]), 0.0) for i in range(3)]
    return jnp.where((near < far) & (near > 0), near, FAR), normal


def _wheel(origin: Array, direction: Array, wheel: Array) -> tuple[Array, list[Array]]:
    """A cylinder along y, 0.2 m wide, standing on the ground: quadratic in x and z, slab in y."""
    ox, oz, radius = origin[0] - wheel[0], origin[2] - wheel[2], wheel[2]
    a = direction[0] ** 2 + direction[2] ** 2
    b = ox * direction[0] + oz * direction[2]
    disc = b * b - a * (ox * ox + oz * oz - radius * radius)
    root = jnp.sqrt(jnp.maximum(disc, 0.0))
    dy = jnp.where(jnp.abs(direction[1]) < 1e-6, 1e-6, direction[1])
    middle, reach = (wheel[1] - origin[1]) / dy, 0.11 / jnp.abs(dy)
    round_near, flat_near = (-b - root) / a, middle - reach
    near = jnp.maximum(round_near, flat_near)
    far = jnp.minimum((-b + root) / a, middle + reach)
    on_side = flat_near > round_near
    nx, nz = (ox + near * direction[0]) / radius, (oz + near * direction[2]) / radius
    normal = [jnp.where(on_side, 0.0, nx), jnp.where(on_side, -jnp.sign(dy), 0.0), jnp.where(on_side, 0.0, nz)]
    hit = (disc > 0) & (near < far) & (near > 0) & (radius > 0)
    return jnp.where(hit, near, FAR), normal
