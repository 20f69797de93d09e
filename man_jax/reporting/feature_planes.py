"""Choose features of both domains, and place them on planes by domain, identity and modality (Fig. 7)."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from man_jax.reporting.curves import COLOURS
from man_jax.reporting.embedding import Group, Plane, place_on_plane

IDENTITIES, TRIPLES = 16, 12
"""How many identities of each domain lie on the plane, and at most how many triples of each."""
MARKERS = "osD"


def choose_triples(pids: Int[np.ndarray, " N"], *, seed: int) -> Int[np.ndarray, " K"]:
    """Choose at most `TRIPLES` triples of each of `IDENTITIES` identities by `seed`; of unlabelled ones, any."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(np.unique(pids[pids >= 0]))[:IDENTITIES]
    if not len(chosen):
        return np.sort(rng.permutation(len(pids))[: IDENTITIES * TRIPLES])
    return np.concatenate([rng.permutation(np.flatnonzero(pids == pid))[:TRIPLES] for pid in chosen])


def domain_planes(
    fused: Mapping[str, Float[np.ndarray, "N D"]], pids: Mapping[str, Int[np.ndarray, " N"]], *, seed: int
) -> list[Plane]:
    """Place the fused features of source and target on one plane, shown by domain and by identity of the target.

    A prototype is the mean of an identity's features, of length 1. Identities are known by their pids; a negative pid
    has no prototype.
    """
    rows, domains, of, is_prototype = [], [], [], []
    for name, features in fused.items():
        known = np.unique(pids[name][pids[name] >= 0])
        prototypes = [features[pids[name] == pid].mean(axis=0) for pid in known]
        rows += [*features, *(each / np.linalg.norm(each) for each in prototypes)]
        domains += [name] * (len(features) + len(known))
        of += [*pids[name], *known]
        is_prototype += [False] * len(features) + [True] * len(known)
    places = place_on_plane(np.stack(rows), seed=seed)
    domain, identity, prototype = np.array(domains), np.array(of), np.array(is_prototype)
    return [
        Plane("fused features, by domain", places, _by_domain(list(fused), domain, prototype)),
        Plane("the same plane, by identity of the target", places, _by_identity(domain, identity, prototype)),
    ]


def modality_plane(modal: Float[np.ndarray, "M N D"], names: Sequence[str], *, seed: int) -> Plane:
    """Place the features of each modality on one plane."""
    places = place_on_plane(np.concatenate(list(modal)), seed=seed)
    of = np.repeat(np.arange(len(modal)), modal.shape[1])
    groups = [
        Group(name, of == m, colour) for m, (name, colour) in enumerate(zip(names, COLOURS, strict=False))
    ]
    return Plane("the target's features of each modality", places, groups)


def _by_domain(names: Sequence[str], domain: np.ndarray, prototype: np.ndarray) -> list[Group]:
    return [
        group
        for name, colour in zip(names, COLOURS, strict=False)
        for group in (
            Group(name, (domain == name) & ~prototype, colour),
            Group(f"{name}, prototypes", (domain == name) & prototype, colour, "*", large=True),
        )
    ]


def _by_identity(domain: np.ndarray, identity: np.ndarray, prototype: np.ndarray) -> list[Group]:
    """Give each identity of the target a colour and a mark; the source is grey."""
    target = domain == "target"
    groups = [Group("source", ~target & ~prototype, "#d0d0d0")]
    for number, pid in enumerate(np.unique(identity[target & (identity >= 0)])):
        colour = COLOURS[number % len(COLOURS)]
        marker = MARKERS[number // len(COLOURS) % len(MARKERS)]
        mine = target & (identity == pid)
        groups += [
            Group("", mine & ~prototype, colour, marker),
            Group("", mine & prototype, colour, "*", large=True),
        ]
    return groups
