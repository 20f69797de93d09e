"""The materials of surfaces: one row of optical and thermal numbers for each material."""

from enum import IntEnum
from typing import NamedTuple

from jax import Array

from data_pipelines.synthetic.arrays import floats
from data_pipelines.synthetic.identities import (
    ACCENTS,
    CABINS,
    ENGINES,
    EXHAUSTS,
    NIR_ACCENTS,
    NIR_GLASS,
    NIR_PAINTS,
    PAINTS,
    Identity,
)


class Material(IntEnum):
    """Rows of the table; those before GROUND belong to the vehicle."""

    PAINT = 0
    ROOF = 1
    STRIPE = 2
    LOGO = 3
    GLASS = 4
    TRIM = 5
    TYRE = 6
    RIM = 7
    HEADLAMP = 8
    TAILLAMP = 9
    PLATE = 10
    METAL = 11
    CARGO = 12
    GAP = 13
    GROUND = 14
    LINE = 15
    WALL = 16
    OPENING = 17
    SKY = 18
    OCCLUDER = 19


COLUMNS = ("red", "green", "blue", "nir", "gloss", "emissivity", "heat", "lamp")
"""Albedos, weight of the clear coat, thermal emissivity, degrees above the air, and the light of lamps."""

HEAT_SPOTS = 7


class Finish(NamedTuple):
    """How a vehicle looks to each modality, whatever its shape."""

    table: Array  # [14, 8] `COLUMNS` of the vehicle's materials
    spots: Array  # [7, 5] x, y, z, radius (m), degrees: what a warm engine warms


def finish(identity: Identity, length: float, width: float, height: float) -> Finish:
    """Compute the optical and thermal properties of an identity; its sizes (m) give the places of the heat spots."""
    return Finish(_table(identity), _spots(identity, length, width, height))


def _table(identity: Identity) -> Array:
    _, seen, near, heat = identity
    paint, nir_paint = list(PAINTS.values())[seen.paint], NIR_PAINTS[near.paint]

    def accent(visible: int, infrared: int, emissivity: float) -> tuple[float, ...]:
        colour = paint if visible < 0 else ACCENTS[visible]
        return (*colour, nir_paint if infrared < 0 else NIR_ACCENTS[infrared], 0.6, emissivity, 0.0, 0.0)

    cabin = {"cold": -3.0, "mild": 2.0, "heated": 7.0}[CABINS[heat.cabin]]
    roof_colour = (0.03, 0.03, 0.03) if seen.dark_roof else paint
    rim = (0.05, 0.05, 0.05) if seen.dark_rim else (0.5, 0.5, 0.52)
    dark, tyres = (0.025, 0.025, 0.027), (2.0, 7.0)[heat.tyres]
    rows = {
        Material.PAINT: (*paint, nir_paint, 1.0, 0.93, 0, 0),
        Material.ROOF: (*roof_colour, NIR_ACCENTS[0] if near.roof else nir_paint, 1.0, 0.93, 0.3 * cabin, 0),
        Material.STRIPE: accent(seen.accent, near.accent, (0.93, 0.6)[heat.stripe]),
        Material.LOGO: accent(seen.logo_accent, near.logo_accent, (0.93, 0.55)[heat.logo]),
        Material.GLASS: (0.02, 0.025, 0.03, NIR_GLASS[near.glass], 2.0, 0.85, cabin, 0),
        Material.TRIM: (*dark, 0.09, 0.25, 0.95, 0.5, 0),
        Material.TYRE: (0.02, 0.02, 0.02, 0.04, 0.0, 0.96, tyres, 0),
        Material.RIM: (*rim, 0.45, 0.7, 0.7, 0.8 * tyres + 1.0, 0),
        Material.HEADLAMP: (0.7, 0.7, 0.7, 0.7, 2.0, 0.9, 3.0, 1.0),
        Material.TAILLAMP: (0.4, 0.02, 0.02, 0.5, 1.0, 0.9, 1.0, 0.12),
        Material.PLATE: (0.75, 0.75, 0.7, 0.85, 0.3, 0.9, 0, 0),
        Material.METAL: (0.35, 0.35, 0.36, 0.4, 1.0, 0.6, 0, 0),
        Material.CARGO: (0.7, 0.7, 0.68, NIR_PAINTS[3 - near.paint], 0.4, 0.9, -0.5, 0),
        Material.GAP: (0.008, 0.008, 0.009, 0.015, 0.0, 0.97, 1.5, 0),
    }
    return floats([rows[Material(i)] for i in range(Material.GROUND)])


def _spots(identity: Identity, length: float, width: float, height: float) -> Array:
    heat, front, side = identity.thermal, length / 2, width / 2
    x, y = {
        "front": (front - 0.6, 0.0),
        "front left": (front - 0.7, 0.8 * side),
        "front right": (front - 0.7, -0.8 * side),
        "middle": (0.1, 0.0),
        "rear": (-front + 0.5, 0.0),
    }[ENGINES[heat.engine]]
    size, degrees = ((0.55, 15.0), (0.95, 12.0))[heat.engine_size]
    pipes = {
        "left": [(-front, 0.6 * side)],
        "right": [(-front, -0.6 * side)],
        "both": [(-front, 0.6 * side), (-front, -0.6 * side)],
        "side": [(-0.4, side), (-0.4, -side)],
    }[EXHAUSTS[heat.exhaust]]
    patch = [
        (0, 0, -9, 1, 0),
        (-0.25 * length, 0, height, 0.6, 9.0),
        (-0.3 * length, side, 0.8, 0.5, 8.0),
        (0.05 * length, -side, 0.9, 0.6, 8.0),
    ][heat.patch]
    mirrored = (patch[0], -patch[1], *patch[2:])
    grille = (front, 0.0, 0.6, 0.5, 8.0) if x > 0.5 else (0, 0, -9, 1, 0)
    rows = [(x, y, 0.85, size, degrees), grille, patch, mirrored if patch[1] else (0, 0, -9, 1, 0)]
    rows += [(*pipe, 0.35, 0.28, 20.0) for pipe in pipes]
    rows += [(0, 0, -9, 1, 0)] * (HEAT_SPOTS - len(rows))
    return floats(rows)
