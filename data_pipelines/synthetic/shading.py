"""Compute the light that leaves each surface towards the camera, for all three modalities."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from data_pipelines.synthetic.geometry import Hits, Rays
from data_pipelines.synthetic.materials import Material


class Weather(NamedTuple):
    """The light and heat of one moment. Four-vectors are (red, green, blue, near-infrared)."""

    sun_direction: Array  # [3] unit, towards the sun or the street lamp, in the vehicle's frame
    sun: Array  # [4]
    sky: Array  # [4]
    illuminator: Array  # [4] a lamp beside the camera
    haze: Array  # [5] share of the light replaced by haze; the fifth is the thermal band
    haze_light: Array  # [4]
    lamps: Array  # [] 0 or 1: are the vehicle's lights on
    warmth: Array  # [] how warm the engine is: scales the pattern, never moves it
    sun_heat: Array  # [] degrees gained by a panel that faces the sun
    sky_cold: Array  # [] degrees by which the sky is colder than the air


class Incidence(NamedTuple):
    """How light falls on each hit, which is the same for every wavelength; all are [P] but `ray`."""

    ray: Array  # [3, P] unit, from the camera
    facing: Array  # cosine towards the camera
    sunlight: Array  # cosine towards the sun, 0 in the vehicle's shadow
    openness: Array  # share of the sky that is seen
    under: Array  # 1 on the ground below the vehicle, falling to 0 beside it


def incidence(hits: Hits, rays: Rays, bounds: Array, weather: Weather) -> Incidence:
    """Compute how light falls on each hit; `bounds` [2, 3], the vehicle's box, casts the vehicle's shadow."""
    ray = rays.direction / jnp.sqrt(jnp.sum(rays.direction**2, axis=0, keepdims=True))
    facing = jnp.clip(-jnp.sum(ray * hits.normal, axis=0), 0.0, 1.0)
    toward_sun = jnp.clip(jnp.sum(hits.normal * weather.sun_direction[:, None], axis=0), 0.0, 1.0)
    on_ground = hits.position[2] < 0.01
    lit, distance = _shadow(hits.position, bounds, weather.sun_direction)
    under = jnp.where(on_ground, 1.0 - jnp.clip(distance / 0.7, 0.0, 1.0), 0.0)
    upward = 0.4 + 0.6 * hits.normal[2]
    # The side of a vehicle sees half of the sky, the ground all of it, its underside none.
    openness = jnp.where(on_ground, 1.0 - 0.85 * under, jnp.clip(upward, 0.1, 1.0))
    return Incidence(ray, facing, toward_sun * jnp.where(on_ground, lit, 1.0), openness, under)


def _shadow(position: Array, bounds: Array, sun: Array) -> tuple[Array, Array]:
    """Compute the share of the sun [P] that passes the vehicle's box, and the distance [P] to its outline in metres."""
    inverse = 1.0 / jnp.where(jnp.abs(sun) < 1e-3, 1e-3, sun)
    low, high = bounds
    sides = [((low[i] - position[i]) * inverse[i], (high[i] - position[i]) * inverse[i]) for i in (0, 1)]
    first = jnp.maximum(jnp.minimum(*sides[0]), jnp.minimum(*sides[1]))
    last = jnp.minimum(jnp.maximum(*sides[0]), jnp.maximum(*sides[1]))
    blocked = jnp.minimum(last, 0.85 * high[2] * inverse[2]) - jnp.maximum(first, 0.0)
    outside = [jnp.maximum(jnp.abs(position[i]) - high[i], 0.0) for i in (0, 1)]
    return jnp.clip(1.0 - 6.0 * blocked, 0.0, 1.0), jnp.sqrt(outside[0] ** 2 + outside[1] ** 2)


def reflected(
    hits: Hits, light: Incidence, material: Array, columns: Array, texture: Array, weather: Weather
) -> Array:
    """Compute red, green, blue and near-infrared radiance [4, P]; it is linear, and 1 is white in full light.

    It is the sum of diffuse light, the clear coat's reflections of sky and sun, and the vehicle's lamps; then haze is
    added. `columns` [8, P] are the hits' `materials.COLUMNS`, `texture` [P] the ground's relative brightness.
    """
    albedo, gloss, lamp = columns[:4], columns[4], columns[7]
    albedo = albedo * jnp.where(material == Material.GROUND, texture, 1.0)[None]
    retro = jnp.where(material == Material.PLATE, 4.0, 1.0)
    arriving = weather.sun[:, None] * light.sunlight[None] + weather.sky[:, None] * light.openness[None]
    arriving += weather.illuminator[:, None] * (light.facing * retro)[None]
    mirrored = light.ray + 2.0 * light.facing[None] * hits.normal
    fresnel = gloss * (0.05 + 0.75 * (1.0 - light.facing) ** 5)
    horizon = jnp.clip(0.5 + 3.0 * mirrored[2], 0.08, 1.0)
    glint = jnp.clip(jnp.sum(mirrored * weather.sun_direction[:, None], axis=0), 0.0, 1.0) ** 64
    coat = weather.sky[:, None] * (1.3 * horizon)[None] + weather.sun[:, None] * (4.0 * glint)[None]
    surface = albedo * arriving + fresnel[None] * coat
    surface = jnp.where((material == Material.SKY)[None], weather.sky[:, None] * 1.2, surface)
    is_tail = (material == Material.TAILLAMP)[None]
    colour = jnp.where(is_tail, jnp.array([[8.0], [0.3], [0.2], [3.0]]), jnp.array([[5.0]]))
    surface += weather.lamps * lamp[None] * colour
    return surface + (weather.haze_light[:, None] - surface) * weather.haze[:4, None]


def emitted(
    hits: Hits, light: Incidence, material: Array, columns: Array, spots: Array, weather: Weather
) -> Array:
    """Compute the apparent temperature [P] in degrees above the air: emitted heat, and reflections of the cold sky.

    `spots` [S, 5] are x, y, z, radius and degrees of the places that a warm engine heats.
    """
    emissivity, heat = columns[5], columns[6]
    vehicle = material < Material.GROUND
    poor = (material == Material.GLASS) | (material == Material.TYRE)
    conducts = jnp.where(vehicle, jnp.where(poor, 0.15, 1.0), 0.0)
    spread = jnp.zeros_like(conducts)
    for i in range(spots.shape[0]):
        x, y, z = (hits.position[j] - spots[i, j] for j in range(3))
        spread += spots[i, 4] * jnp.exp(-(x * x + y * y + z * z) / spots[i, 3] ** 2)
    warm = weather.warmth * (conducts * spread + 3.0 * light.under)
    degrees = jnp.where(vehicle, heat * (0.4 + 0.6 * weather.warmth), heat) + warm
    degrees += weather.sun_heat * light.sunlight * jnp.where(vehicle, 1.0, 0.6)
    upward = jnp.clip(hits.normal[2], 0.0, 1.0)
    # Thin metal under an open sky cools below the air.
    degrees -= jnp.where(vehicle, 0.2 * weather.sky_cold * (0.15 + upward), 0.0)
    mirror = (1.0 - emissivity) * (1.0 + 1.5 * (1.0 - light.facing) ** 4)
    degrees -= mirror * (weather.sky_cold * (0.25 + 0.75 * upward) + degrees)
    degrees = jnp.where(material == Material.SKY, -weather.sky_cold, degrees)
    return degrees * (1.0 - weather.haze[4])
