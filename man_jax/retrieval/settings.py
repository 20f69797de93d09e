"""The settings of query expansion and re-ranking, and their limits; imports nothing slow."""

import math
from typing import NamedTuple


class Expansion(NamedTuple):
    """The settings of query expansion."""

    k: int
    """How many gallery entries are added to a query."""
    alpha: float = 0.0
    """The power of the similarity by which an entry is weighed; 0: all weigh as much as the query."""

    def check(self, num_gallery: int) -> None:
        """Check the settings for a gallery of this size; ValueError if one is out of range."""
        if not 1 <= self.k <= num_gallery:
            raise ValueError(
                f"k is {self.k}, but the gallery has {num_gallery} entries; choose 1 <= k <= {num_gallery}"
            )
        if not 0.0 <= self.alpha < math.inf:
            raise ValueError(f"alpha is {self.alpha:g}; choose a number of at least 0")


class Reranking(NamedTuple):
    """The settings of k-reciprocal re-ranking."""

    k1: int = 20
    """How many neighbours make a neighbourhood, besides the sample itself."""
    k2: int = 6
    """Over how many nearest samples, the sample itself included, an encoding is averaged."""
    weight: float = 0.3
    """The share λ of the original distance."""

    def check(self, num_samples: int) -> None:
        """Check the settings for so many queries and gallery entries together; ValueError if one is out of range."""
        if not 1 <= self.k1 < num_samples:
            raise ValueError(
                f"k1 is {self.k1}, but queries and gallery together are {num_samples}; choose 1 <= k1 <= "
                f"{num_samples - 1}"
            )
        if not 1 <= self.k2 <= self.k1:
            raise ValueError(f"k2 is {self.k2}, and k1 is {self.k1}; choose 1 <= k2 <= k1")
        if not 0.0 <= self.weight <= 1.0:
            raise ValueError(f"lambda is {self.weight:g}, but it is a share; choose 0 <= lambda <= 1")
