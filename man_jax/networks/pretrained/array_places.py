"""Describe the place of one of our arrays in another library's file, and its form there."""

from typing import Literal, NamedTuple

Layout = Literal["same", "convolution", "linear", "positions"]
Path = tuple[str, ...]
"""The path of one of our arrays, without its collection: (layer1, block0, conv1, kernel)."""

LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


class LibraryPlace(NamedTuple):
    """The place of an array of ours in a library's file: one name, or several to join along their first axis."""

    names: tuple[str, ...]
    layout: Layout = "same"
    leading: int = 0
    """How many axes of length 1 the file has before our axes."""
    zero_bias: str = ""
    """The name of a bias that only their network has, so that it must be zero."""


def module_place(name: str, leaf: str, *, convolution: bool = False) -> LibraryPlace:
    """Name the place of an array in the module `name`, whose kernel is that of a convolution or of a linear map."""
    kernel: Layout = "convolution" if convolution else "linear"
    return LibraryPlace((f"{name}.{LEAVES[leaf]}",), kernel if leaf == "kernel" else "same")
