"""Make shots and images from (domain, seed, identity), by pure functions."""

import zlib
from collections.abc import Sequence
from functools import lru_cache

import jax
import numpy as np

from data_pipelines.synthetic.domains import DrawnDomain
from data_pipelines.synthetic.identities import Identity, identity
from data_pipelines.synthetic.materials import Finish, finish
from data_pipelines.synthetic.moments import moment
from data_pipelines.synthetic.renderer import HEIGHT, WIDTH, Shot, render
from data_pipelines.synthetic.shapes import Shape, shape

CAMERAS_PER_IDENTITY = 4


def cameras_of(domain: DrawnDomain, seed: int, index: int, triples: int) -> list[int]:
    """Choose the camera of each triple of an identity: up to four of the domain's cameras, in turn."""
    rng = _stream(domain, seed, index, "cameras")
    seen = rng.permutation(len(domain.cameras))[:CAMERAS_PER_IDENTITY]
    return [int(seen[number % len(seen)]) for number in range(triples)]


def shot(
    domain: DrawnDomain, seed: int, index: int, number: int, camera: int, who: Identity | None = None
) -> Shot:
    """Make the `number`-th triple of identity `index`, seen by `camera`; `who` replaces the vehicle, not the view."""
    body, look = _vehicle(identity(domain.name, seed, index) if who is None else who)
    rng = _stream(domain, seed, index, f"triple {number}")
    trip = _stream(domain, seed, index, "trip") if domain.one_trip else rng
    return Shot(body, look, *moment(domain, camera, trip, rng))


@lru_cache(maxsize=1024)
def _vehicle(who: Identity) -> tuple[Shape, Finish]:
    body = shape(who.body)
    length, width = (2 * float(half) for half in body.bounds[1, :2])
    return body, finish(who, length, width, height=float(body.measures[2]))


def images(shots: Sequence[Shot], *, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Render shots: [B, 3, H, W, 3] uint8, the second axis in the order R, N, T."""
    batch = jax.tree.map(lambda *leaves: np.stack(leaves), *shots)
    return np.asarray(render(batch, height=height, width=width)[0])


def _stream(domain: DrawnDomain, seed: int, index: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(f"{domain.name}/{name}".encode()), index])
