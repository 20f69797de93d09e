"""How fast a gallery is ranked, beside the loop of other ReID codes: python -m benchmarks.ranking_speed [--full].

Drawn unit features, about as hard to retrieve as a set that a network has learnt something of. Two tasks: figures from
distances that are there, and figures from features. The loop, a query at a time, is that of torchreid and fast-reid:
sort the gallery by the distances' row, take out the query's own pid and camid, and sum the precisions. They divide in
a Python list, so "loop, with lists" is what they do; "loop" divides in NumPy. Their distances are one product in
PyTorch. Both tasks assert that the figures are equal. The peak of memory above the features is that of a process for
each way (Linux only), and what Q x G distances take stands beside it.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.peak_memory import MIB, peak_above
from benchmarks.turns import report, take_turns
from man_jax.retrieval.distances import AnyDistances, FeatureDistances, query_gallery_distances
from man_jax.retrieval.ranking import evaluate_ranking

SIZES = {"small": (842, 3978, 1536, 188), "full": (3368, 15913, 6144, 751)}
"""Queries, gallery triples, width of the fused features and identities; the second is Market1501-MM."""
NEARNESS = 3.2
"""How many standard deviations of two strangers' cosine two triples of an identity are nearer."""
NUM_CAMERAS, MAX_RANK, RANKS = 6, 50, (1, 5, 10)
OURS, LOOP, LISTS = "ours", "loop", "loop, with lists"
WAYS = (OURS, LOOP, LISTS)

Figures = tuple[float, ...]
"""mAP, and CMC at `RANKS`."""


class Retrieval(NamedTuple):
    """Unit features [Q, D] and [G, D], and whose they are."""

    query: np.ndarray
    gallery: np.ndarray
    who: dict[str, np.ndarray]
    """The keywords of `evaluate_ranking`."""


def draw(num_queries: int, num_gallery: int, dim: int, num_identities: int) -> Retrieval:
    """Draw the features around the identities' directions."""
    rng = np.random.default_rng(0)
    count = num_queries + num_gallery
    pids = rng.integers(0, num_identities, count)
    camids = rng.integers(0, NUM_CAMERAS, count)
    noise = np.float32((dim**0.5 / NEARNESS) ** 0.5)  # the cosine of two of an identity is 1 / (1 + noise²)
    rows = rng.standard_normal((num_identities, dim), np.float32)[pids]
    for start in range(0, count, 1000):
        part = rows[start : start + 1000]
        part += noise * rng.standard_normal(part.shape, np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    who = {
        f"{side}_{name}": values
        for name, each in (("pids", pids), ("groups", camids))
        for side, values in (("query", each[:num_queries]), ("gallery", each[num_queries:]))
    }
    return Retrieval(rows[:num_queries], rows[num_queries:], who)


def our_figures(distances: AnyDistances, who: dict[str, np.ndarray]) -> Figures:
    """Rank and judge by our function."""
    result = evaluate_ranking(distances, **who, ranks=RANKS)
    return result.mAP, *result.cmc.values()


def loop_figures(distances: np.ndarray, who: dict[str, np.ndarray], *, lists: bool) -> Figures:
    """Rank all queries and judge them one after the other, as the common code for Market-1501's protocol does."""
    indices = np.argsort(distances, axis=1, kind="stable")
    matches = (who["gallery_pids"][indices] == who["query_pids"][:, None]).astype(np.int32)
    all_cmc, precisions = [], []
    for i, (pid, camid) in enumerate(zip(who["query_pids"], who["query_groups"], strict=True)):
        order = indices[i]
        removed = (who["gallery_pids"][order] == pid) & (who["gallery_groups"][order] == camid)
        found = matches[i][~removed]
        if not found.any():
            continue
        counted = found.cumsum()
        all_cmc.append(np.minimum(counted[:MAX_RANK], 1))
        if lists:
            precision = np.asarray([number / (place + 1.0) for place, number in enumerate(counted)])
        else:
            precision = counted / np.arange(1.0, len(counted) + 1)
        precisions.append((precision * found).sum() / found.sum())
    cmc = np.mean(all_cmc, axis=0)
    return float(np.mean(precisions)), *(float(cmc[rank - 1]) for rank in RANKS)


def torch_distances(query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Compute squared distances [Q, G] by PyTorch, as the common code does."""
    one, other = torch.from_numpy(query), torch.from_numpy(gallery)
    size = len(query), len(gallery)
    squares = (
        one.pow(2).sum(1, keepdim=True).expand(size) + other.pow(2).sum(1, keepdim=True).expand(size[::-1]).T
    )
    return squares.addmm_(one, other.T, beta=1, alpha=-2).numpy()


def from_features(way: str, drawn: Retrieval) -> Figures:
    """Compute the distances and the figures in one of the ways."""
    if way == OURS:
        return our_figures(FeatureDistances(drawn.query, drawn.gallery), drawn.who)
    return loop_figures(torch_distances(drawn.query, drawn.gallery), drawn.who, lists=way == LISTS)


def compare(subject: str, ways: dict[str, Callable[[], Figures]], rounds: int, **facts: Any) -> None:
    """Let the ways take turns, check that their figures are the same, and report them."""
    found: dict[str, Figures] = {}

    def keep(name: str) -> None:
        found[name] = ways[name]()

    seconds = take_turns({name: lambda name=name: keep(name) for name in ways}, rounds=rounds)
    for name, figures in found.items():
        # Two products differ in their last bits, which moves few entries by a place.
        if not np.allclose(figures, found[OURS], rtol=0, atol=1e-4 if "features" in subject else 1e-12):
            raise SystemExit(f"{subject}: {name} has {figures}, ours {found[OURS]}")
    report(subject, seconds, ours=OURS, mAP=found[OURS][0], **facts)


def memory_of(way: str, size: tuple[int, ...]) -> float:
    """Measure the peak above the features, in MiB, of a process of its own."""
    words = [f"--measure={way}", "--size", *map(str, size)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ranking_speed", *words], check=True, capture_output=True, text=True
    )
    return float(done.stdout.split()[-1])


def main(flags: argparse.Namespace) -> None:
    """Time both tasks, and measure the memory of the second."""
    size = tuple(flags.size or SIZES["full" if flags.full else "small"])
    drawn = draw(*size)
    if flags.measure:
        print(peak_above(lambda: from_features(flags.measure, drawn)))
        return
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    ways = WAYS if flags.lists else WAYS[:-1]
    distances = query_gallery_distances(drawn.query, drawn.gallery)
    name = "{} x {} x {}".format(*size)
    given: dict[str, Callable[[], Figures]] = {OURS: lambda: our_figures(distances, drawn.who)}
    for way in ways[1:]:
        given[way] = lambda way=way: loop_figures(distances, drawn.who, lists=way == LISTS)
    compare(f"ranking, distances given, {name}", given, flags.rounds)
    whole = {way: (lambda way=way: from_features(way, drawn)) for way in ways}
    memory = {way: round(memory_of(way, size)) for way in ways}
    mib = {"peak_mib_above_features": memory, "mib_of_distances": distances.nbytes / MIB}
    compare(f"ranking, from features, {name}", whole, flags.rounds, **mib)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--full", action="store_true", help="the size of Market1501-MM, {} x {} x {}".format(*SIZES["full"])
    )
    parser.add_argument(
        "--size", type=int, nargs=4, metavar=("Q", "G", "D", "IDENTITIES"), help="another size"
    )
    parser.add_argument(
        "--lists", action="store_true", help="the loop with lists too, which takes minutes a round"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    main(parser.parse_args())
