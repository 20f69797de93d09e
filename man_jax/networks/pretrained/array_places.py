"""Where an array of ours is in another library's file, and how it lies there."""

from typing import Literal, NamedTuple

Layout = Literal["same", "convolution", "linear", "positions"]
Path = tuple[str, ...]
"""Of an array of ours, without its collection: (layer1, block0, conv1, kernel)."""

LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


class LibraryPlace(NamedTuple):
    """The place of an array of ours in a library's file: one name, or several to join along their first axis."""

    names: tuple[str, ...]
    layout: Layout = "same"
    leading: int = 0
    """Axes of length 1 before those of ours."""
    zero_bias: str = ""
    """Of a map that has a bias in their network and none in ours, so that it must be zero there."""


def module_place(name: str, leaf: str, *, convolution: bool = False) -> LibraryPlace:
    """Name the place of an array in the module `name`, whose kernel is that of a convolution or of a linear map."""
    kernel: Layout = "convolution" if convolution else "linear"
    return LibraryPlace((f"{name}.{LEAVES[leaf]}",), kernel if leaf == "kernel" else "same")
