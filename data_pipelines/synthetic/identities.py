"""Draw a vehicle's identity: a few choices from small palettes, separately for each modality.

Identities come in families of three that share one body. Within a family, each pair looks alike in exactly one modality
and differs in the two others:

    member   RGB   NIR   TIR
      0       a     a     a
      1       a     b     b
      2       b     a     b

So no single modality can distinguish a whole family, and all three together always can. Members of different families
may look alike by chance, because the palettes are small.
"""

import zlib
from typing import NamedTuple

import numpy as np

KINDS = ("sedan", "hatchback", "suv", "van", "pickup", "truck", "bus")
FAMILY_SIZE = 3

PAINTS = {
    "white": (0.80, 0.80, 0.78),
    "silver": (0.47, 0.48, 0.50),
    "grey": (0.19, 0.20, 0.21),
    "black": (0.025, 0.025, 0.028),
    "red": (0.48, 0.035, 0.03),
    "blue": (0.04, 0.11, 0.40),
    "green": (0.04, 0.24, 0.11),
    "yellow": (0.72, 0.45, 0.04),
    "brown": (0.22, 0.12, 0.06),
    "sky": (0.25, 0.47, 0.62),
}
PAINT_SHARES = (0.20, 0.13, 0.12, 0.12, 0.11, 0.11, 0.05, 0.07, 0.04, 0.05)
ACCENTS = ((0.80, 0.80, 0.78), (0.03, 0.03, 0.03), (0.55, 0.05, 0.04), (0.05, 0.15, 0.5), (0.75, 0.5, 0.05))
NIR_PAINTS = (0.07, 0.22, 0.45, 0.78)
NIR_ACCENTS = (0.05, 0.35, 0.85)
NIR_GLASS = (0.03, 0.16, 0.32)

ENGINES = ("front", "front left", "front right", "middle", "rear")
EXHAUSTS = ("left", "right", "both", "side")
CABINS = ("cold", "mild", "heated")
RIMS = ("disc", "five spokes", "ten spokes", "ring")
ROOFS = ("bare", "rails", "rack", "box", "hatch")
STRIPES = ("none", "belt", "sill", "lower half", "bonnet")
LOGOS = ("none", "front door", "rear panel", "long")


class Body(NamedTuple):
    """What every modality sees: the silhouette and the fittings, as indices into the palettes above."""

    kind: int
    size: int
    height: int
    roof: int
    rim: int
    stripe: int
    logo: int
    lamps: int
    windows: int
    plate: int


class Visible(NamedTuple):
    """What only the RGB camera sees. An accent of -1 has the colour of the body, so it is not visible."""

    paint: int
    accent: int
    logo_accent: int
    dark_rim: int
    dark_roof: int


class NearInfrared(NamedTuple):
    """What only the near-infrared camera sees: reflectances that do not depend on the visible colour."""

    paint: int
    accent: int
    logo_accent: int
    glass: int
    roof: int


class Thermal(NamedTuple):
    """What only the thermal camera sees: the warm places, and the panels that emit little."""

    engine: int
    engine_size: int
    exhaust: int
    cabin: int
    tyres: int
    stripe: int
    logo: int
    patch: int


class Identity(NamedTuple):
    """One vehicle. `_replace` a part of it to see how a modality changes."""

    body: Body
    visible: Visible
    near: NearInfrared
    thermal: Thermal


def identity(domain: str, seed: int, index: int) -> Identity:
    """Draw the `index`-th vehicle of a domain; it does not depend on how many vehicles are drawn."""
    family, member = divmod(index, FAMILY_SIZE)

    def stream(name: str, variant: int) -> np.random.Generator:
        return np.random.default_rng([seed, zlib.crc32(f"{domain}/{name}".encode()), family, variant])

    looks, glows, heats = ((0, 0, 0), (0, 1, 1), (1, 0, 1))[member]
    return Identity(
        draw_body(stream("body", 0)),
        draw_visible(stream("visible", 0), looks),
        draw_near(stream("near", 0), glows),
        draw_thermal(stream("thermal", 0), heats),
    )


def draw_body(rng: np.random.Generator) -> Body:
    """Draw a body; sizes, fittings and marks have three to five choices each."""
    kind = int(rng.choice(len(KINDS), p=(0.22, 0.17, 0.2, 0.14, 0.1, 0.1, 0.07)))
    stripe = int(rng.choice(len(STRIPES), p=(0.3, 0.2, 0.2, 0.15, 0.15)))
    roof = int(rng.choice(len(ROOFS), p=(0.4, 0.2, 0.15, 0.1, 0.15)))
    logo = int(rng.choice(len(LOGOS), p=(0.4, 0.25, 0.2, 0.15)))
    size, height, lamps, windows, plate = (int(i) for i in rng.integers(3, size=5))
    return Body(kind, size, height, roof, int(rng.integers(len(RIMS))), stripe, logo, lamps, windows, plate)


def draw_visible(rng: np.random.Generator, variant: int) -> Visible:
    """Draw the `variant`-th look of a family; two variants never have the same paint."""
    paint = rng.choice(len(PAINTS), size=2, replace=False, p=PAINT_SHARES)[variant]
    choices = rng.integers((-1, -1, 0, 0), (len(ACCENTS), len(ACCENTS), 2, 2), size=(2, 4))[variant]
    return Visible(int(paint), *(int(i) for i in choices))


def draw_near(rng: np.random.Generator, variant: int) -> NearInfrared:
    """Draw the `variant`-th near-infrared look of a family; two variants never have the same reflectance."""
    paint = rng.permutation(len(NIR_PAINTS))[variant]
    high = (len(NIR_ACCENTS), len(NIR_ACCENTS), len(NIR_GLASS), 2)
    choices = rng.integers((-1, -1, 0, 0), high, size=(2, 4))[variant]
    return NearInfrared(int(paint), *(int(i) for i in choices))


def draw_thermal(rng: np.random.Generator, variant: int) -> Thermal:
    """Draw the `variant`-th heat pattern of a family; two variants never have the engine in the same place."""
    engine = rng.permutation(len(ENGINES))[variant]
    choices = rng.integers(0, (2, len(EXHAUSTS), len(CABINS), 2, 2, 2, 4), size=(2, 7))[variant]
    return Thermal(int(engine), *(int(i) for i in choices))
