"""Two domains in numbers: their cameras, their weather, their sensors.

They differ as the real sets do. RGBNT100 was taken from the roadside over days, with a good thermal camera. WMVeID863
was taken in the wild and from above, each vehicle on one trip, with more night, haze and glare and with other sensors.
The vehicles have the same palettes, so what distinguishes them in one domain does so in the other.
"""

from dataclasses import dataclass

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
