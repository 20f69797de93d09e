"""One set of hits, three kinds of light: what leaves each surface towards the camera."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from data_pipelines.synthetic.geometry import Hits
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


def radiance(
    hits: Hits,
    direction: Array,
    material: Array,
    table: Array,
    spots: Array,
    texture: Array,
    bounds: Array,
    weather: Weather,
) -> Array:
    """Radiance [5, P]: red, green, blue, near-infrared (linear, 1 is white in full light), thermal (degrees).

    `table` [materials, 8] holds the columns of `materials.COLUMNS`, `texture` [P] is the ground's relative
    brightness, `bounds` [2, 3] the vehicle's box, whose shadow falls on the ground.
    """
    columns = table[material].T
    ray = direction / jnp.sqrt(jnp.sum(direction**2, axis=0, keepdims=True))
    facing = jnp.clip(-jnp.sum(ray * hits.normal, axis=0), 0.0, 1.0)
    toward_sun = jnp.clip(jnp.sum(hits.normal * weather.sun_direction[:, None], axis=0), 0.0, 1.0)
    ground = (material == Material.GROUND) | (material == Material.LINE)
    lit, open_sky = _shadow(hits.position, bounds, weather.sun_direction)
    sunlight = toward_sun * jnp.where(ground, lit, 1.0)
    openness = (0.45 + 0.55 * hits.normal[2]) * jnp.where(ground, open_sky, 1.0)
    openness = jnp.where(hits.normal[2] < 0.9, 0.25 + 0.75 * openness, openness)
    reflective = _reflective(hits, ray, material, columns, facing, sunlight, openness, weather)
    emitted = _thermal(hits, material, columns, spots, sunlight, open_sky * ground, facing, weather)
    bands = jnp.concatenate([reflective, emitted[None]])
    bands = jnp.where((material == Material.GROUND)[None], bands * _texture_of_bands(texture), bands)
    veil = jnp.concatenate([weather.haze_light, jnp.zeros(1)])[:, None]
    return bands + (veil - bands) * weather.haze[:, None]


def _texture_of_bands(texture: Array) -> Array:
    return jnp.stack([texture] * 4 + [jnp.ones_like(texture)])


def _shadow(position: Array, bounds: Array, sun: Array) -> tuple[Array, Array]:
    """Share of the sun [P] and of the sky [P] that reaches a point of the ground beside the vehicle."""
    inverse = 1.0 / jnp.where(jnp.abs(sun) < 1e-3, 1e-3, sun)
    low, high = bounds
    enter = [jnp.minimum((low[i] - position[i]) * inverse[i], (high[i] - position[i]) * inverse[i]) for i in (0, 1)]
    leave = [jnp.maximum((low[i] - position[i]) * inverse[i], (high[i] - position[i]) * inverse[i]) for i in (0, 1)]
    first = jnp.maximum(jnp.maximum(enter[0], enter[1]), 0.0)
    last = jnp.minimum(jnp.minimum(leave[0], leave[1]), 0.85 * high[2] * inverse[2])
    lit = jnp.clip(1.0 - 6.0 * (last - first), 0.0, 1.0)
    outside = [jnp.maximum(jnp.abs(position[i]) - high[i], 0.0) for i in (0, 1)]
    distance = jnp.sqrt(outside[0] ** 2 + outside[1] ** 2)
    return lit, 0.15 + 0.85 * jnp.clip(distance / 0.7, 0.0, 1.0)


def _reflective(
    hits: Hits,
    ray: Array,
    material: Array,
    columns: Array,
    facing: Array,
    sunlight: Array,
    openness: Array,
    weather: Weather,
) -> Array:
    """Diffuse light, a clear coat that mirrors sky and ground, and the lamps: [4, P]."""
    albedo, gloss, lamp = columns[:4], columns[4], columns[7]
    retro = 1.0 + 3.0 * (material == Material.PLATE)
    light = weather.sun[:, None] * sunlight[None] + weather.sky[:, None] * openness[None]
    light += weather.illuminator[:, None] * (facing * retro)[None]
    mirrored = ray + 2.0 * facing[None] * hits.normal
    fresnel = gloss * (0.05 + 0.75 * (1.0 - facing) ** 5)
    horizon = jnp.clip(0.5 + 3.0 * mirrored[2], 0.08, 1.0)
    glint = jnp.clip(jnp.sum(mirrored * weather.sun_direction[:, None], axis=0), 0.0, 1.0) ** 60
    coat = weather.sky[:, None] * horizon[None] * 1.3 + weather.sun[:, None] * (4.0 * glint)[None]
    surface = albedo * light + fresnel[None] * coat
    surface = jnp.where((material == Material.SKY)[None], weather.sky[:, None] * 1.2, surface)
    lamp_colour = jnp.where(
        (material == Material.TAILLAMP)[None], jnp.array([[8.0], [0.3], [0.2], [3.0]]), jnp.array([[5.0]])
    )
    return surface + weather.lamps * lamp[None] * lamp_colour


def _thermal(
    hits: Hits,
    material: Array,
    columns: Array,
    spots: Array,
    sunlight: Array,
    grounded: Array,
    facing: Array,
    weather: Weather,
) -> Array:
    """Apparent temperature [P], in degrees above the air: emitted, plus the mirrored sky."""
    emissivity, heat = columns[5], columns[6]
    degrees = heat * (0.4 + 0.6 * weather.warmth)
    vehicle = material < Material.GROUND
    conducts = jnp.where(vehicle & (material != Material.GLASS) & (material != Material.TYRE), 1.0, 0.15)
    for i in range(spots.shape[0]):
        square = sum((hits.position[j] - spots[i, j]) ** 2 for j in range(3)) / spots[i, 3] ** 2
        degrees += jnp.where(vehicle, weather.warmth * conducts * spots[i, 4] * jnp.exp(-square), 0.0)
    degrees += weather.sun_heat * sunlight * jnp.where(vehicle, 1.0, 0.6)
    degrees += 4.0 * weather.warmth * jnp.where(material == Material.GROUND, 1.0, 0.0) * (grounded < 0.6) * (
        0.6 - grounded
    )
    sky = -weather.sky_cold * jnp.clip(0.25 + 0.75 * hits.normal[2], 0.0, 1.0)
    mirror = (1.0 - emissivity) * (1.0 + 1.5 * (1.0 - facing) ** 4)
    degrees = degrees + mirror * (sky - degrees)
    return jnp.where(material == Material.SKY, -weather.sky_cold, degrees)
