"""Batch normalisation with a scale and a bias for each domain: take the norms out of a network, or put others in.

Source: Chang et al., "Domain-specific batch normalization for unsupervised domain adaptation", CVPR 2019.
"""

from typing import Any

Tree = dict[str, Any]


def norms_of(params: Tree, statistics: Tree) -> Tree:
    """Take the scales and biases of the norms, which are the modules that have running statistics.

    `statistics` may be of any set of the network's norms; the result has those of this set.
    """
    found: Tree = {}
    for name, below in statistics.items():
        if name in params:
            # Where the statistics end, the parameters of a norm begin.
            is_norm = not any(isinstance(leaf, dict) for leaf in below.values())
            found[name] = params[name] if is_norm else norms_of(params[name], below)
    return found


def with_norms(params: Tree, norms: Tree) -> Tree:
    """Put scales and biases in the place of a network's own; the rest is shared."""
    return {
        name: with_norms(each, norms[name])
        if name in norms and isinstance(each, dict)
        else norms.get(name, each)
        for name, each in params.items()
    }
