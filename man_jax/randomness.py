"""Make random keys by name: each use has its own key, from the seed, the name of the use and the epoch."""

import zlib

import jax
from jaxtyping import PRNGKeyArray


def epoch_key(seed: int, name: str, epoch: int) -> PRNGKeyArray:
    """Make the key of a named use in an epoch; it is the same on every host and after every restart."""
    stream = jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))
    return jax.random.fold_in(stream, epoch)


def other_key(key: PRNGKeyArray, name: str) -> PRNGKeyArray:
    """Make another key for a named use in the same step."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))
