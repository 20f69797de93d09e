"""Two domains: their cameras, weather and sensors, and how a moment before one camera is drawn."""

import zlib
from dataclasses import dataclass

import numpy as np

from data_pipelines.synthetic.renderer import Scene, View
from data_pipelines.synthetic.sensor import Sensor
from data_pipelines.synthetic.shading import Weather

Range = tuple[float, float]
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class CameraSite:
    """One camera: what it sees of a passing vehicle and what stands behind it. Angles in degrees."""

    yaw: Range  # 0 is head-on, 90 the vehicle's left side
    elevation: Range
    distance: Range  # metres
    ground: float  # albedo
    wall: Colour
    wall_metres: float
    wall_top: float  # metres; low walls let the sky be seen
    openings: float  # pitch of a building's windows in metres; large is a hedge


@dataclass(frozen=True)
class Domain:
    """What a data set's makers chose, and what their town looked like."""

    name: str
    first_pid: int
    cameras: tuple[CameraSite, ...]
    times: tuple[float, float, float]  # shares of day, dusk, night
    haze: Range  # share of visible light replaced
    haze_share: float  # share of moments with haze
    cast: Colour  # white balance of the RGB cameras
    gamma: tuple[float, float]  # RGB, near-infrared
    illuminator: float  # strength of the near-infrared lamp at night
    near_exposure: float
    thermal_gain: Range  # grey levels of 255 per degree
    thermal_level: Range  # grey level of 255 at the air's temperature
    blur: tuple[Range, Range, Range]  # pixels: R, N, T
    noise: tuple[float, float, float]  # grey levels of 255 in daylight: R, N, T
    glare_share: float  # share of dusk and night moments with a strong light towards the camera
    occlusion_share: float
    zoom: Range
    warmth: Range


RGBNT100 = Domain(
    name="RGBNT100",
    first_pid=1,
    cameras=(
        CameraSite((20, 50), (8, 16), (14, 20), 0.16, (0.30, 0.27, 0.24), 14, 6, 3.2),
        CameraSite((-55, -25), (8, 16), (14, 20), 0.20, (0.07, 0.12, 0.04), 11, 3, 99),
        CameraSite((70, 110), (6, 14), (12, 18), 0.15, (0.36, 0.20, 0.14), 9, 5, 4.1),
        CameraSite((-110, -70), (10, 18), (12, 18), 0.22, (0.42, 0.42, 0.40), 12, 4, 2.6),
        CameraSite((130, 160), (10, 18), (14, 22), 0.18, (0.09, 0.14, 0.05), 16, 4, 99),
        CameraSite((-155, -125), (8, 16), (14, 22), 0.13, (0.24, 0.26, 0.30), 13, 7, 5.0),
    ),
    times=(0.5, 0.15, 0.35),
    haze=(0.15, 0.4),
    haze_share=0.15,
    cast=(1.0, 1.0, 1.0),
    gamma=(2.0, 1.8),
    illuminator=0.9,
    near_exposure=1.0,
    thermal_gain=(6.5, 9.0),
    thermal_level=(55, 85),
    blur=((0.4, 0.8), (0.4, 0.9), (0.7, 1.3)),
    noise=(3.0, 4.0, 3.0),
    glare_share=0.35,
    occlusion_share=0.15,
    zoom=(0.82, 0.98),
    warmth=(0.35, 1.0),
)

WMVEID863 = Domain(
    name="WMVeID863",
    first_pid=5001,
    cameras=(
        CameraSite((0, 45), (14, 26), (10, 15), 0.28, (0.48, 0.44, 0.36), 18, 3, 99),
        CameraSite((-60, -10), (16, 30), (10, 16), 0.32, (0.13, 0.19, 0.06), 12, 2, 99),
        CameraSite((55, 100), (12, 24), (9, 14), 0.26, (0.46, 0.41, 0.33), 9, 8, 2.2),
        CameraSite((-120, -80), (18, 32), (10, 15), 0.30, (0.20, 0.18, 0.17), 10, 6, 3.0),
        CameraSite((125, 180), (14, 28), (10, 16), 0.34, (0.55, 0.52, 0.47), 15, 4, 6.0),
    ),
    times=(0.3, 0.25, 0.45),
    haze=(0.2, 0.55),
    haze_share=0.35,
    cast=(1.12, 0.98, 0.76),
    gamma=(1.7, 2.1),
    illuminator=0.45,
    near_exposure=1.35,
    thermal_gain=(4.0, 7.5),
    thermal_level=(85, 130),
    blur=((0.5, 1.2), (0.5, 1.2), (0.6, 1.1)),
    noise=(4.0, 6.0, 4.0),
    glare_share=0.6,
    occlusion_share=0.25,
    zoom=(0.74, 0.98),
    warmth=(0.15, 1.0),
)

DOMAINS = {domain.name: domain for domain in (RGBNT100, WMVEID863)}

DAY, DUSK, NIGHT = range(3)


def moment(domain: Domain, camera: int, rng: np.random.Generator) -> tuple[View, Scene, Weather, Sensor]:
    """One moment before one camera, with every nuisance drawn from `rng`."""
    site = domain.cameras[camera]
    time = int(rng.choice(3, p=domain.times))
    view = _view(domain, site, rng)
    weather = _weather(domain, time, float(view.yaw), rng)
    sensor = _sensor(domain, time, weather, rng)
    return view, _scene(domain, camera, site, weather, rng), weather, sensor


def _f(*values: float) -> np.ndarray:
    return np.array(values[0] if len(values) == 1 else values, np.float32)


def _view(domain: Domain, site: CameraSite, rng: np.random.Generator) -> View:
    occluder = (1.0, 1.0, -1.0, -1.0)
    if rng.random() < domain.occlusion_share:
        occluder = _occluder(rng)
    return View(
        yaw=_f(np.deg2rad(rng.uniform(*site.yaw))),
        elevation=_f(np.deg2rad(rng.uniform(*site.elevation))),
        distance=_f(rng.uniform(*site.distance)),
        zoom=_f(rng.uniform(*domain.zoom)),
        shift=_f(*rng.normal(0, 0.04, size=2)),
        occluder=_f(*occluder),
    )


def _occluder(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """A post, a low wall or a neighbour cut by the crop's edge."""
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


def _weather(domain: Domain, time: int, yaw: float, rng: np.random.Generator) -> Weather:
    heights, sun, sky = LIGHTS[time]
    height, azimuth = np.deg2rad(rng.uniform(*heights)), yaw + rng.uniform(-2.4, 2.4)
    clouds = rng.uniform(0.0, 1.0) ** 2 if time != NIGHT else 0.0
    sun_now = np.array(sun) * (1 - 0.85 * clouds) * rng.uniform(0.75, 1.2)
    sky_now = np.array(sky) * (1 + 0.5 * clouds) * rng.uniform(0.8, 1.2)
    haze = rng.uniform(*domain.haze) if rng.random() < domain.haze_share else rng.uniform(0.0, 0.06)
    lit = time == NIGHT or (time == DUSK and rng.random() < 0.6)
    lamp = domain.illuminator * rng.uniform(0.5, 1.3) if time != DAY else 0.0
    return Weather(
        sun_direction=_f(
            np.cos(height) * np.cos(azimuth), np.cos(height) * np.sin(azimuth), np.sin(height)
        ),
        sun=_f(*sun_now),
        sky=_f(*sky_now),
        illuminator=_f(0, 0, 0, lamp),
        haze=_f(*[haze] * 3, 0.6 * haze, 0.15 * haze),
        haze_light=_f(*(0.9 * sky_now + 0.08 * sun_now + (0, 0, 0, 0.25 * lamp))),
        lamps=_f(float(lit)),
        warmth=_f(rng.uniform(*domain.warmth)),
        sun_heat=_f(rng.uniform(3, 9) * (1 - clouds) if time == DAY else 0.0),
        sky_cold=_f(rng.uniform(6, 25) * (1 - 0.6 * clouds)),
    )


def _scene(
    domain: Domain, camera: int, site: CameraSite, weather: Weather, rng: np.random.Generator
) -> Scene:
    """The place belongs to the camera and is the same every time; only temperatures change."""
    place = np.random.default_rng([zlib.crc32(domain.name.encode()), camera])
    markings = (place.uniform(3.2, 5.5), place.uniform(-1, 3), place.choice((2.5, 4, 6)), 0.08)
    texture = (place.uniform(0.4, 1.1), place.uniform(0, 6), place.uniform(0.06, 0.16))
    hedge = site.openings > 50
    warm = float(rng.uniform(-2, 3) + 0.4 * weather.sun_heat)
    grey, wall = (site.ground * np.array([1.0, 0.98, 0.95])), np.array(site.wall)
    occluder = place.uniform(0.05, 0.4)
    rows = [
        (*grey, 0.9 * site.ground + 0.05, 0, 0.95, warm, 0),
        (0.6, 0.6, 0.57, 0.55, 0, 0.93, warm - 0.5, 0),
        (*wall, 0.62 if hedge else float(wall.mean()) + 0.1, 0, 0.95, -1.0 if hedge else 0.6 * warm, 0),
        (*(0.25 * wall), 0.7 if hedge else 0.06, 0.6 * (not hedge), 0.9, -1.0 if hedge else 3.0, 0),
        (0, 0, 0, 0, 0, 1.0, 0, 0),
        (occluder, 0.9 * occluder, 0.8 * occluder, 0.3, 0, 0.95, warm - 1.0, 0),
    ]
    return Scene(_f(*markings, site.openings, site.wall_top), _f(site.wall_metres), _f2(rows), _f(*texture))


def _f2(rows: list[tuple[float, ...]]) -> np.ndarray:
    return np.array(rows, np.float32)


def _sensor(domain: Domain, time: int, weather: Weather, rng: np.random.Generator) -> Sensor:
    """Automatic exposure follows the light only so far: at night RGB stays dark and noisy."""
    visible = float(0.5 * weather.sun[1] + weather.sky[1])
    infrared = float(0.5 * weather.sun[3] + weather.sky[3] + weather.illuminator[3])
    exposure = (
        min(1.35 / visible, (2.6, 4.5, 7.0)[time]) * rng.uniform(0.75, 1.3),
        min(1.2 / infrared, 3.5) * domain.near_exposure * rng.uniform(0.75, 1.3),
    )
    weak = (1.0, 1.6, 3.0)[time]
    noise = np.array(domain.noise) * (weak, min(weak, 2.0), 1.0) * rng.uniform(0.7, 1.3, size=3) / 255
    return Sensor(
        exposure=_f(*exposure),
        cast=_f(*(np.array(domain.cast) * rng.normal(1, 0.03, size=3))),
        gamma=_f(*domain.gamma),
        thermal_gain=_f(rng.uniform(*domain.thermal_gain) / 255),
        thermal_level=_f(rng.uniform(*domain.thermal_level) / 255),
        blur=_f(*(rng.uniform(*span) for span in domain.blur)),
        noise=_f(*noise),
        stripes=_f(rng.uniform(0.0, 3.0) / 255),
        vignette=_f(rng.uniform(0.1, 0.5)),
        flare=_flares(domain, time, rng),
        seed=np.uint32(rng.integers(2**32)),
    )


def _flares(domain: Domain, time: int, rng: np.random.Generator) -> np.ndarray:
    lights = np.zeros((3, 6), np.float32)
    lights[:, 2] = 1.0
    if time != DAY and rng.random() < domain.glare_share:
        x, y, strength = rng.uniform(-1.0, 1.0), rng.uniform(-0.4, 0.8), rng.uniform(0.3, 1.2)
        for i, offset in enumerate((0.0, rng.uniform(0.3, 0.6))):
            lights[i] = (x + offset, y, rng.uniform(0.15, 0.4), strength, 0.9 * strength, 0.12 * strength)
    return lights
