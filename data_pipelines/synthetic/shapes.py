"""Build primitives from a body's palette indices: two convex polyhedra, boxes and wheels, in metres.

The vehicle's coordinates: x is forward, y to its left, z up; the ground is at z = 0, the origin below its middle.
"""

from typing import NamedTuple

import numpy as np
from jax import Array

from data_pipelines.synthetic.arrays import floats, integers
from data_pipelines.synthetic.identities import KINDS, ROOFS, Body
from data_pipelines.synthetic.materials import Material

NUM_PLANES = 12
NUM_BOXES = 13
NUM_WHEELS = 6


class Dimensions(NamedTuple):
    """The measures of a kind of vehicle, such as a sedan. x values are measured forwards from the middle."""

    length: float
    width: float
    height: float
    clearance: float
    belt: float  # top of the lower body, where the windows begin
    nose: float  # height of the lower body at its front end
    tail: float  # ... and at its rear end
    screen: float  # x of the windscreen's foot
    screen_run: float  # how far it leans back
    back: float  # x of the rear window's foot
    back_run: float
    tumble: float  # how far the sides of the cabin lean inwards
    wheel: float  # radius
    front_axle: float
    rear_axle: float
    panes_end: float  # no side window behind this x


DIMENSIONS = {
    "sedan": Dimensions(
        4.7, 1.82, 1.44, 0.2, 0.94, 0.7, 0.88, 0.98, 0.95, -1.85, 0.75, 0.24, 0.33, 1.4, -1.4, -9
    ),
    "hatchback": Dimensions(
        4.0, 1.76, 1.5, 0.19, 0.95, 0.72, 0.92, 0.98, 0.85, -1.95, 0.35, 0.2, 0.32, 1.25, -1.25, -9
    ),
    "suv": Dimensions(
        4.7, 1.92, 1.8, 0.27, 1.12, 0.9, 1.08, 1.05, 0.75, -2.3, 0.3, 0.2, 0.39, 1.42, -1.42, -9
    ),
    "van": Dimensions(
        5.2, 1.96, 2.2, 0.24, 1.12, 0.88, 1.12, 1.85, 0.85, -2.58, 0.06, 0.14, 0.35, 1.65, -1.6, 0.45
    ),
    "pickup": Dimensions(
        5.4, 1.9, 1.8, 0.32, 1.08, 0.92, 1.08, 1.15, 0.75, -0.95, 0.15, 0.18, 0.4, 1.7, -1.65, -9
    ),
    "truck": Dimensions(
        6.6, 2.2, 2.25, 0.42, 1.35, 1.25, 1.35, 3.15, 0.4, 1.65, 0.02, 0.1, 0.43, 2.45, -2.1, -9
    ),
    "bus": Dimensions(8.2, 2.4, 2.85, 0.3, 1.3, 1.2, 1.3, 4.0, 0.3, -4.08, 0.05, 0.1, 0.46, 2.7, -2.3, -9),
}


class Shape(NamedTuple):
    """The primitives, and the measures by which they are painted; all are float32 or int32 arrays."""

    lower: Array  # [12, 4] planes (n, d): inside is n·p <= d
    cabin: Array  # [12, 4]
    boxes: Array  # [13, 6] centre and half size; the first is the cargo body
    box_materials: Array  # [13]
    wheels: Array  # [6, 3] x, y, radius; a radius of 0 hides the wheel
    measures: Array  # [16] the `Dimensions`
    bounds: Array  # [2, 3] lowest and highest corner
    choices: Array  # [6] rim, stripe, logo, lamps, windows, plate


def shape(body: Body) -> Shape:
    """Build the primitives of one body."""
    kind = KINDS[body.kind]
    dims = _resized(DIMENSIONS[kind], body)
    tail_x = dims.back - 0.1 if kind == "truck" else -dims.length / 2
    boxes = [*_cargo(kind, dims), *_fittings(dims), *_roof(ROOFS[body.roof], kind, dims)]
    centres = np.array([box[0] for box in boxes] + [(0, 0, -9)] * (NUM_BOXES - len(boxes)))
    halves = np.array([box[1] for box in boxes] + [(0, 0, 0)] * (NUM_BOXES - len(boxes)))
    names = [box[2] for box in boxes] + [Material.TRIM] * (NUM_BOXES - len(boxes))
    top = max(dims.height, float((centres + halves)[:, 2].max()))
    half = (dims.length / 2, dims.width / 2)
    return Shape(
        lower=_planes(_lower(dims, tail_x)),
        cabin=_planes(_cabin(dims)),
        boxes=floats(np.concatenate([centres, halves], axis=1)),
        box_materials=integers(names),
        wheels=_wheels(kind, dims),
        measures=floats(dims),
        bounds=floats([(-half[0], -half[1], 0), (*half, top)]),
        choices=integers([body.rim, body.stripe, body.logo, body.lamps, body.windows, body.plate]),
    )


def _resized(dims: Dimensions, body: Body) -> Dimensions:
    """Resize a kind of vehicle to one of three lengths and three heights; wheels keep their size."""
    long, high = (0.93, 1.0, 1.07)[body.size], (0.95, 1.0, 1.06)[body.height]
    along = {
        name: getattr(dims, name) * long for name in ("length", "screen", "back", "front_axle", "rear_axle")
    }
    up = {name: getattr(dims, name) * high for name in ("height", "belt", "nose", "tail")}
    return dims._replace(**along, **up)


Plane = tuple[tuple[float, float, float], tuple[float, float, float]]
"""An outward normal and a point on the plane."""


def _planes(planes: list[Plane]) -> Array:
    """Normalise planes to [12, 4]; unused ones (n = 0, d = 1) contain every point."""
    table = np.tile(np.array([0, 0, 0, 1.0]), (NUM_PLANES, 1))
    for row, (normal, point) in zip(table, planes, strict=False):
        unit = np.array(normal) / np.linalg.norm(normal)
        row[:] = (*unit, unit @ np.array(point))
    return floats(table)


def _lower(d: Dimensions, tail_x: float) -> list[Plane]:
    front, side = d.length / 2, d.width / 2
    corner = 0.16
    rounded: list[Plane] = [
        ((1.0 * along, 0.55 * across, 0), (end - along * corner, across * side, 0))
        for along, end in ((1, front), (-1, tail_x))
        for across in (-1, 1)
    ]
    return [
        ((1, 0, 0.12), (front, 0, d.clearance + 0.3)),
        ((-1, 0, 0.1), (tail_x, 0, d.clearance + 0.3)),
        ((0, 1, 0.09), (0, side, 0.5)),
        ((0, -1, 0.09), (0, -side, 0.5)),
        ((0, 0, 1), (0, 0, d.belt)),
        ((0, 0, -1), (0, 0, d.clearance)),
        ((d.belt - d.nose, 0, front - d.screen), (front, 0, d.nose)),
        ((d.tail - d.belt, 0, d.back - tail_x) if d.belt > d.tail else (0, 0, 1), (d.back, 0, d.belt)),
        *rounded,
    ]


def _cabin(d: Dimensions) -> list[Plane]:
    rise, side, roof = d.height - d.belt, d.width / 2 - 0.04, d.width / 2 - 0.04 - d.tumble
    middle = (d.screen + d.back) / 2
    return [
        ((rise, 0, d.screen_run), (d.screen, 0, d.belt)),
        ((-rise, 0, d.back_run), (d.back, 0, d.belt)),
        ((0, rise, d.tumble), (0, side, d.belt)),
        ((0, -rise, d.tumble), (0, -side, d.belt)),
        ((0, 0, 1), (0, 0, d.height)),
        ((0, 0, -1), (0, 0, d.belt - 0.1)),
        ((0, 0.7, 1), (0, roof - 0.1, d.height)),
        ((0, -0.7, 1), (0, -roof + 0.1, d.height)),
        ((0.16, 0, 1), (middle + 0.15, 0, d.height)),
        ((-0.12, 0, 1), (middle - 0.5, 0, d.height)),
    ]


Box = tuple[tuple[float, float, float], tuple[float, float, float], Material]


def _cargo(kind: str, d: Dimensions) -> list[Box]:
    """Make the boxes behind the cabin of a truck or a pickup; without a cargo body, the first is below the ground."""
    rear = -d.length / 2
    if kind == "truck":
        end = d.back - 0.25
        return [
            (((rear + end) / 2, 0, 1.95), ((end - rear) / 2, d.width / 2 + 0.06, 1.02), Material.CARGO),
            ((-0.3, 0, 0.72), (d.length / 2 - 0.6, 0.5, 0.14), Material.TRIM),
            ((rear + 0.06, 0, 0.6), (0.06, d.width / 2, 0.09), Material.TRIM),
        ]
    hidden: Box = ((0, 0, -9), (0, 0, 0), Material.CARGO)
    if kind == "pickup":
        middle, half = (rear + d.back) / 2, (d.back - rear) / 2
        rails: list[Box] = [
            ((middle, s * (d.width / 2 - 0.11), d.belt + 0.05), (half - 0.05, 0.045, 0.06), Material.PAINT)
            for s in (-1, 1)
        ]
        return [
            hidden,
            *rails,
            ((rear + 0.12, 0, d.belt + 0.05), (0.05, d.width / 2 - 0.1, 0.06), Material.PAINT),
        ]
    return [hidden]


def _fittings(d: Dimensions) -> list[Box]:
    """Make mirrors, bumpers and a sill, which are small but change the silhouette."""
    mirror = (d.screen - 0.55 * d.screen_run - 0.05, d.width / 2 + 0.07, d.belt + 0.09)
    return [
        ((mirror[0], mirror[1], mirror[2]), (0.06, 0.1, 0.075), Material.PAINT),
        ((mirror[0], -mirror[1], mirror[2]), (0.06, 0.1, 0.075), Material.PAINT),
        ((d.length / 2 - 0.06, 0, d.clearance + 0.14), (0.11, d.width / 2 - 0.16, 0.09), Material.TRIM),
        ((0, 0, d.clearance + 0.02), (d.length / 2 - 0.45, d.width / 2 - 0.25, 0.08), Material.TRIM),
    ]


def _roof(style: str, kind: str, d: Dimensions) -> list[Box]:
    front, rear = d.screen - d.screen_run - 0.15, max(d.back + d.back_run + 0.15, -2.6)
    middle, half, side = (front + rear) / 2, (front - rear) / 2, d.width / 2 - d.tumble - 0.16
    if kind == "truck":
        return [((middle, 0, d.height + 0.12), (half, side, 0.12), Material.PAINT)] if style != "bare" else []
    rails: list[Box] = [
        ((middle, s * side, d.height + 0.05), (half, 0.03, 0.03), Material.METAL) for s in (-1, 1)
    ]
    if style == "rails":
        return rails
    if style == "rack":
        bars = [middle - 0.6 * half, middle + 0.6 * half]
        return [*rails, *(((x, 0, d.height + 0.09), (0.05, side, 0.025), Material.METAL) for x in bars)]
    if style == "box":
        return [((middle, 0.15 * side, d.height + 0.19), (0.75 * half, 0.5 * side, 0.14), Material.TRIM)]
    if style == "hatch":
        return [((middle, 0, d.height + 0.03), (0.35 * half, 0.6 * side, 0.05), Material.TRIM)]
    return []


def _wheels(kind: str, d: Dimensions) -> Array:
    axles = [d.front_axle, d.rear_axle]
    if kind == "truck":
        axles.append(d.rear_axle + 2.3 * d.wheel)
    wheels = [(x, s * (d.width / 2 - 0.1), d.wheel) for x in axles for s in (-1, 1)]
    return floats(wheels + [(0, 0, 0)] * (NUM_WHEELS - len(wheels)))
