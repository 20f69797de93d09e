"""The drawn domains in numbers: their cameras, their weather, their sensors.

The two domains of the demonstration differ as the real sets do. RGBNT100 was taken from the roadside over days, with a
good thermal camera. WMVeID863 was taken in the wild and from above, each vehicle on one trip, with more night, haze and
glare and with other sensors. The vehicles have the same palettes, so what distinguishes them in one domain does so in
the other.
"""

from dataclasses import dataclass, replace
from typing import Literal

Range = tuple[float, float]
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class CameraSite:
    """One camera: its view of a passing vehicle, and what is behind the vehicle. Angles are in degrees."""

    yaw: Range  # 0 is head-on, 90 the vehicle's left side
    elevation: Range
    distance: Range  # metres
    ground: float  # albedo
    wall: Colour
    wall_metres: float
    wall_top: float  # metres; low walls let the sky be seen
    openings: float  # pitch of a building's windows in metres; large is a hedge


@dataclass(frozen=True)
class DrawnDomain:
    """The choices of a data set's makers: cameras, sensors, weather and surroundings."""

    name: str
    layout: Literal["rgbnt100", "wmveid863"]  # whose folders and file names the pictures have
    first_pid: int
    cameras: tuple[CameraSite, ...]
    one_trip: (
        bool  # each vehicle was filmed once, by all its cameras at the same hour and in the same weather
    )
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


RGBNT100 = DrawnDomain(
    name="RGBNT100",
    layout="rgbnt100",
    first_pid=1,
    cameras=(
        CameraSite((10, 35), (8, 16), (14, 20), 0.16, (0.30, 0.27, 0.24), 14, 6, 3.2),
        CameraSite((30, 55), (8, 16), (14, 20), 0.20, (0.07, 0.12, 0.04), 11, 3, 99),
        CameraSite((50, 75), (6, 14), (12, 18), 0.15, (0.36, 0.20, 0.14), 9, 5, 4.1),
        CameraSite((70, 95), (10, 18), (12, 18), 0.22, (0.42, 0.42, 0.40), 12, 4, 2.6),
    ),
    one_trip=False,
    times=(0.74, 0.14, 0.12),
    haze=(0.1, 0.3),
    haze_share=0.06,
    cast=(1.0, 1.0, 1.0),
    gamma=(2.0, 1.8),
    illuminator=0.9,
    near_exposure=1.0,
    thermal_gain=(8.0, 11.0),
    thermal_level=(55, 85),
    blur=((0.4, 0.8), (0.4, 0.9), (0.7, 1.3)),
    noise=(3.0, 4.0, 3.0),
    glare_share=0.12,
    occlusion_share=0.06,
    zoom=(0.82, 0.98),
    warmth=(0.65, 1.0),
)

WMVEID863 = DrawnDomain(
    name="WMVeID863",
    layout="wmveid863",
    first_pid=5001,
    cameras=(
        CameraSite((5, 30), (18, 28), (12, 17), 0.28, (0.48, 0.44, 0.36), 18, 3, 99),
        CameraSite((25, 50), (18, 28), (12, 18), 0.32, (0.13, 0.19, 0.06), 12, 2, 99),
        CameraSite((45, 70), (17, 27), (11, 16), 0.26, (0.46, 0.41, 0.33), 9, 8, 2.2),
        CameraSite((60, 90), (18, 28), (11, 17), 0.30, (0.20, 0.18, 0.17), 10, 6, 3.0),
    ),
    one_trip=True,
    times=(0.55, 0.2, 0.25),
    haze=(0.1, 0.35),
    haze_share=0.15,
    cast=(1.12, 1.0, 0.82),
    gamma=(1.65, 2.2),
    illuminator=0.6,
    near_exposure=1.35,
    thermal_gain=(4.5, 6.5),
    thermal_level=(85, 120),
    blur=((0.8, 1.6), (0.8, 1.6), (1.0, 1.8)),
    noise=(3.2, 4.5, 3.2),
    glare_share=0.22,
    occlusion_share=0.15,
    zoom=(0.70, 0.90),
    warmth=(0.4, 1.0),
)

DOMAINS = {domain.name: domain for domain in (RGBNT100, WMVEID863)}

_FRONTS = (
    CameraSite((0, 40), (4, 22), (11, 20), 0.18, (0.34, 0.30, 0.26), 13, 5, 3.0),
    CameraSite((30, 70), (10, 34), (11, 19), 0.26, (0.10, 0.15, 0.06), 10, 3, 99),
    CameraSite((60, 100), (4, 26), (12, 22), 0.33, (0.44, 0.40, 0.36), 15, 7, 2.4),
    CameraSite((20, 80), (8, 30), (10, 16), 0.12, (0.22, 0.20, 0.22), 11, 4, 3.6),
)
_BACKS = (
    CameraSite((90, 130), (6, 24), (12, 20), 0.24, (0.40, 0.33, 0.24), 12, 5, 2.8),
    CameraSite((120, 160), (10, 30), (11, 18), 0.17, (0.08, 0.13, 0.05), 14, 3, 99),
    CameraSite((150, 180), (5, 20), (13, 21), 0.30, (0.28, 0.28, 0.30), 10, 8, 4.4),
    CameraSite((-60, -10), (8, 28), (11, 19), 0.21, (0.48, 0.45, 0.42), 16, 6, 2.2),
)

CORPUS = (
    replace(
        RGBNT100,
        name="CorpusA",
        layout="wmveid863",
        cameras=_FRONTS,
        cast=(0.90, 1.0, 1.12),
        gamma=(2.3, 2.1),
        blur=((0.3, 1.0), (0.4, 1.2), (0.8, 1.6)),
        noise=(2.0, 3.0, 2.5),
        zoom=(0.75, 0.95),
        times=(0.8, 0.15, 0.05),
    ),
    replace(
        RGBNT100,
        name="CorpusB",
        layout="wmveid863",
        first_pid=2001,
        cameras=_BACKS,
        cast=(1.05, 1.0, 0.95),
        gamma=(1.8, 2.0),
        blur=((0.6, 1.3), (0.6, 1.4), (0.9, 1.9)),
        noise=(4.5, 5.0, 4.0),
        zoom=(0.70, 0.98),
        times=(0.6, 0.25, 0.15),
        haze_share=0.12,
    ),
    replace(
        WMVEID863,
        name="CorpusC",
        first_pid=4001,
        one_trip=False,
        cameras=_BACKS,
        cast=(0.95, 1.04, 0.98),
        gamma=(2.15, 1.7),
        blur=((0.4, 1.2), (0.5, 1.3), (0.8, 1.7)),
        noise=(2.5, 3.5, 3.0),
        times=(0.7, 0.2, 0.1),
    ),
    replace(
        WMVEID863,
        name="CorpusD",
        first_pid=6001,
        one_trip=False,
        cameras=_FRONTS,
        cast=(1.02, 0.96, 1.06),
        gamma=(1.5, 1.9),
        blur=((0.5, 1.5), (0.6, 1.5), (0.9, 1.8)),
        noise=(3.8, 4.0, 3.5),
        occlusion_share=0.10,
    ),
)
"""Four collections of other vehicles, taken by other cameras with other sensors, from which the weights that the
demonstration starts from are learnt."""
