"""The keys `config.model.msinet` and what they may be; imports no JAX."""

from collections.abc import Iterator
from typing import Any

INTERACTIONS = ("none", "exc", "ag", "cross_att")
"""Nothing, exchange the scales, gates of the channels, attention across the scales; as the public code names them."""

PUBLISHED = (
    *("ag", "ag", "exc", "ag"),
    *("cross_att", "ag", "ag", "none"),
    *("ag", "cross_att", "exc", "cross_att"),
)
"""The architecture that its authors searched on MSMT17 and published: two interactions a cell, two cells a stage."""

EACH_STAGE = 4
"""Interactions in a stage."""


def msinet_problems(keys: Any, image_size: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """Find what is wrong with the keys `config.model.msinet`: a key and what to do, for each."""
    widths, interactions, halves = tuple(keys.widths), tuple(keys.interactions), keys.half_channels
    if len(widths) < 2 or not all(isinstance(width, int) and width >= 1 for width in widths):
        yield (
            "model.msinet.widths",
            f"config.model.msinet.widths is {widths}; give the channels of the stem and of one or more stages, whole "
            f"numbers of at least 1, e.g. (64, 256, 384, 512)",
        )
        return
    if any(width % 4 for width in widths[1:]):
        yield (
            "model.msinet.widths",
            f"config.model.msinet.widths is {widths}; a cell works with a quarter of its channels, so make those "
            f"of the stages multiples of 4",
        )
    wanted = EACH_STAGE * (len(widths) - 1)
    if len(interactions) != wanted or not set(interactions) <= set(INTERACTIONS):
        yield (
            "model.msinet.interactions",
            f"config.model.msinet.interactions is {interactions}; {len(widths) - 1} stages "
            f"(config.model.msinet.widths) need {wanted} of them, each one of {', '.join(INTERACTIONS)}",
        )
    # The stem halves rows and columns twice, rounding up, and each later stage once, rounding down.
    least = 2 ** (len(widths) - 2) * (2 if halves > 0 else 1)
    if -(-image_size[0] // 4) < least or -(-image_size[1] // 4) < least // (2 if halves > 0 else 1):
        yield (
            "data.image_size",
            f"config.data.image_size is {image_size[0]} × {image_size[1]}, of which the last stage of the msinet would "
            f"get no rows or columns; make them at least {4 * least - 3} × {4 * 2 ** (len(widths) - 2) - 3}",
        )
