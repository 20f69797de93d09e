"""Published peak figures of the chips that a step is planned for."""

from typing import NamedTuple

GIB, TERA, GIGA = 2**30, 1e12, 1e9


class Chip(NamedTuple):
    """What one chip can do at best, as its maker publishes it."""

    name: str
    flops: float
    """Products and sums a second in bfloat16, without sparsity."""
    memory: float
    """Bytes."""
    bandwidth: float
    """Bytes a second between the chip and its memory."""
    links: float
    """Bytes a second to and from other chips, over all links together."""
    source: str


_GOOGLE = (
    "Google Cloud, TPU system architecture; links: How to Scale Your Model (jax-ml.github.io/scaling-book)"
)
_NVIDIA = "NVIDIA, data sheet of the SXM module"
CHIPS = {
    "v4": Chip("TPU v4", 275 * TERA, 32 * GIB, 1228 * GIGA, 3 * 90 * GIGA, _GOOGLE),
    "v5e": Chip("TPU v5e", 197 * TERA, 16 * GIB, 819 * GIGA, 2 * 90 * GIGA, _GOOGLE),
    "v5p": Chip("TPU v5p", 459 * TERA, 95 * GIB, 2765 * GIGA, 3 * 180 * GIGA, _GOOGLE),
    "v6e": Chip("TPU v6e", 918 * TERA, 32 * GIB, 1640 * GIGA, 2 * 180 * GIGA, _GOOGLE),
    "a100": Chip("A100 80 GB", 312 * TERA, 80 * GIB, 2039 * GIGA, 600 * GIGA, _NVIDIA),
    "h100": Chip("H100 80 GB", 989 * TERA, 80 * GIB, 3350 * GIGA, 900 * GIGA, _NVIDIA),
    "h200": Chip("H200", 989 * TERA, 141 * GIB, 4800 * GIGA, 900 * GIGA, _NVIDIA),
}
KINDS = {
    "TPU v4": "v4",
    "TPU v5 lite": "v5e",
    "TPU v5": "v5p",
    "TPU v5p": "v5p",
    "TPU v6 lite": "v6e",
    "NVIDIA A100-SXM4-80GB": "a100",
    "NVIDIA H100 80GB HBM3": "h100",
    "NVIDIA H200": "h200",
}
"""The chips by the names that JAX has for them (`device_kind`)."""
TPUS = ("v4", "v5e", "v5p", "v6e")
"""The chips that the TPU's compiler serves on a machine without them."""


def chip_of(device_kind: str) -> Chip | None:
    """Find the published figures of a device by JAX's name for it; None if they are not here."""
    return CHIPS.get(KINDS.get(device_kind, ""))
