"""Draw a moment before one camera: view, surroundings, weather and sensors, all at random."""

import zlib

import numpy as np
from jax import Array

from data_pipelines.synthetic.arrays import floats, integers
from data_pipelines.synthetic.domains import CameraSite, DrawnDomain
from data_pipelines.synthetic.renderer import Scene, View
from data_pipelines.synthetic.sensor import Sensor
from data_pipelines.synthetic.shading import Weather

DAY, DUSK, NIGHT = range(3)


def moment(
    domain: DrawnDomain, camera: int, trip: np.random.Generator, rng: np.random.Generator
) -> tuple[View, Scene, Weather, Sensor]:
    """Draw a moment before one camera: hour and weather from `trip`, everything else from `rng`."""
    site = domain.cameras[camera]
    time = int(trip.choice(3, p=domain.times))
    view = _view(domain, site, rng)
    weather = _weather(domain, time, float(view.yaw), trip)
    sensor = _sensor(domain, time, weather, rng)
    return view, _scene(domain, camera, site, weather, rng), weather, sensor


def _view(domain: DrawnDomain, site: CameraSite, rng: np.random.Generator) -> View:
    occluder = (1.0, 1.0, -1.0, -1.0)
    if rng.random() < domain.occlusion_share:
        occluder = _occluder(rng)
    return View(
        yaw=floats(np.deg2rad(rng.uniform(*site.yaw))),
        elevation=floats(np.deg2rad(rng.uniform(*site.elevation))),
        distance=floats(rng.uniform(*site.distance)),
        zoom=floats(rng.uniform(*domain.zoom)),
        shift=floats(rng.normal(0, 0.04, size=2)),
        occluder=floats(occluder),
    )


def _occluder(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Draw what covers a part of the vehicle: a post, a low wall, or a neighbour at the edge of the crop."""
    style = rng.integers(3)
    if style == 0:
        x, half = rng.uniform(-0.7, 0.7), rng.uniform(0.03, 0.07)
        return x - half, -2.0, x + half, 2.0
    if style == 1:
        return -2.0, -2.0, 2.0, rng.uniform(-0.65, -0.4)
    depth, top = rng.uniform(0.45, 0.75), rng.uniform(-0.1, 0.5)
    return (-2.0, -2.0, -depth, top) if rng.random() < 0.5 else (depth, -2.0, 2.0, top)


LIGHTS = (  # sun's elevation in degrees, sun (R, G, B, NIR), sky (R, G, B, NIR)
    ((25, 65), (2.0, 1.9, 1.75, 1.9), (0.65, 0.72, 0.85, 0.4)),
    ((6, 16), (0.75, 0.45, 0.22, 0.8), (0.26, 0.26, 0.34, 0.2)),
    ((35, 75), (0.16, 0.12, 0.07, 0.10), (0.020, 0.022, 0.030, 0.02)),
)


def _weather(domain: DrawnDomain, time: int, yaw: float, rng: np.random.Generator) -> Weather:
    heights, sun, sky = LIGHTS[time]
    height, azimuth = np.deg2rad(rng.uniform(*heights)), yaw + rng.uniform(-2.4, 2.4)
    clouds = rng.uniform(0.0, 1.0) ** 2 if time != NIGHT else 0.0
    sun_now = np.array(sun) * (1 - 0.85 * clouds) * rng.uniform(0.75, 1.2)
    sky_now = np.array(sky) * (1 + 0.5 * clouds) * rng.uniform(0.8, 1.2)
    haze = rng.uniform(*domain.haze) if rng.random() < domain.haze_share else rng.uniform(0.0, 0.06)
    lit = time == NIGHT or (time == DUSK and rng.random() < 0.6)
    lamp = domain.illuminator * rng.uniform(0.5, 1.3) if time != DAY else 0.0
    return Weather(
        sun_direction=floats(
            (np.cos(height) * np.cos(azimuth), np.cos(height) * np.sin(azimuth), np.sin(height))
        ),
        sun=floats(sun_now),
        sky=floats(sky_now),
        illuminator=floats((0, 0, 0, lamp)),
        haze=floats((*[haze] * 3, 0.6 * haze, 0.15 * haze)),
        haze_light=floats(0.9 * sky_now + 0.08 * sun_now + (0, 0, 0, 0.25 * lamp)),
        lamps=floats(float(lit)),
        warmth=floats(rng.uniform(*domain.warmth)),
        sun_heat=floats(rng.uniform(3, 9) * (1 - clouds) if time == DAY else 0.0),
        sky_cold=floats(rng.uniform(6, 25) * (1 - 0.6 * clouds)),
    )


def _scene(
    domain: DrawnDomain, camera: int, site: CameraSite, weather: Weather, rng: np.random.Generator
) -> Scene:
    """Make the surroundings of a camera, which are always the same; only the temperatures change."""
    place = np.random.default_rng([zlib.crc32(domain.name.encode()), camera])
    # Lane lines in metres; their dashes repeat every six.
    markings = (place.uniform(3.2, 5.5), place.uniform(-1, 3), place.choice((2.5, 4, 6)), 0.08)
    texture = (place.uniform(0.4, 1.1), place.uniform(0, 6), place.uniform(0.06, 0.16))
    hedge = site.openings > 50
    warm = float(rng.uniform(-4, 5) + 0.5 * weather.sun_heat)
    grey, wall = (site.ground * np.array([1.0, 0.98, 0.95])), np.array(site.wall)
    occluder = place.uniform(0.05, 0.4)
    rows = [  # the order of `Material`, the columns of `COLUMNS`
        (*grey, 0.9 * site.ground + 0.05, 0, 0.95, warm, 0),
        (0.6, 0.6, 0.57, 0.55, 0, 0.93, warm - 0.5, 0),
        (*wall, 0.62 if hedge else float(wall.mean()) + 0.1, 0, 0.95, -1.0 if hedge else 0.6 * warm, 0),
        (*(0.25 * wall), 0.7 if hedge else 0.06, 0.6 * (not hedge), 0.9, -1.0 if hedge else 3.0, 0),
        (0, 0, 0, 0, 0, 1.0, 0, 0),
        (occluder, 0.9 * occluder, 0.8 * occluder, 0.3, 0, 0.95, warm - 1.0, 0),
    ]
    return Scene(
        floats((*markings, site.openings, site.wall_top)),
        floats(site.wall_metres),
        floats(rows),
        floats(texture),
    )


def _sensor(domain: DrawnDomain, time: int, weather: Weather, rng: np.random.Generator) -> Sensor:
    """Draw the sensors' settings. Automatic exposure has a limit, so at night RGB stays dark and noisy."""
    visible = float(0.5 * weather.sun[1] + weather.sky[1])
    infrared = float(0.5 * weather.sun[3] + weather.sky[3] + weather.illuminator[3])
    exposure = (
        min(1.35 / visible, (2.6, 3.6, 3.4)[time]) * rng.uniform(0.85, 1.2),
        min(1.2 / infrared, 3.5) * domain.near_exposure * rng.uniform(0.85, 1.2),
    )
    weak = (1.0, 1.6, 3.0)[time]
    noise = np.array(domain.noise) * (weak, min(weak, 2.0), 1.0) * rng.uniform(0.7, 1.3, size=3) / 255
    return Sensor(
        exposure=floats(exposure),
        cast=floats(np.array(domain.cast) * rng.normal(1, 0.03, size=3)),
        gamma=floats(domain.gamma),
        thermal_gain=floats(rng.uniform(*domain.thermal_gain) / 255),
        thermal_level=floats(rng.uniform(*domain.thermal_level) / 255),
        blur=floats([rng.uniform(*span) for span in domain.blur]),
        noise=floats(noise),
        stripes=floats(rng.uniform(0.0, 3.0) / 255),
        vignette=floats(rng.uniform(0.1, 0.5)),
        flare=_flares(domain, time, rng),
        seed=integers(rng.integers(2**32), np.uint32),
    )


def _flares(domain: DrawnDomain, time: int, rng: np.random.Generator) -> Array:
    """Draw a pair of headlights that dazzles the RGB camera, but hardly the infrared ones (see `Sensor.flare`)."""
    lights = np.zeros((3, 6), np.float32)
    lights[:, 2] = 1.0
    if time != DAY and rng.random() < domain.glare_share:
        x, y, strength = rng.uniform(-1.0, 1.0), rng.uniform(-0.4, 0.8), rng.uniform(0.3, 1.2)
        for i, offset in enumerate((0.0, rng.uniform(0.3, 0.6))):
            lights[i] = (x + offset, y, rng.uniform(0.15, 0.4), strength, 0.9 * strength, 0.12 * strength)
    return floats(lights)
