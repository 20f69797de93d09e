"""Rank a gallery for each query, and measure the ranking by mAP, CMC and mINP (numpy only).

A gallery entry is *removed* from a query's list if it shows the query's pid under the query's own group: the
camid or the scene, whichever the data set's protocol names. The same object seen by the same camera is no
evidence of re-identification. A negative pid matches nothing, not even the same negative pid, and a negative group
is shared by nobody: where groups are unknown, or the rule compares none, nothing is removed. Queries are ranked in
blocks, so that memory follows the block and not Q x G; distances may be an array, or features that give those of a
block (`FeatureDistances`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from man_jax.retrieval.distances import AnyDistances, FeatureDistances, as_rows

JUDGED_ENTRIES, LISTED_ENTRIES = 4_000_000, 2_000_000
"""Distances of a block: judged, it costs about 9 bytes for each of them, and 60 for lists of best matches."""

THREADS = 2
"""Blocks that are judged at a time."""


@dataclass(frozen=True)
class RankingResult:
    """The figures of a ranking, in fractions of 1, averaged over the valid queries."""

    mAP: float  # noqa: N815  (the field's own spelling)
    cmc: Mapping[int, float]
    mINP: float  # noqa: N815
    num_valid: int
    num_skipped: int

    def as_dict(self) -> dict[str, float]:
        """Give the figures by the names people report: mAP, R1, R5, ..., mINP."""
        cmc = {f"R{rank}": value for rank, value in self.cmc.items()}
        return {"mAP": self.mAP, **cmc, "mINP": self.mINP}


@dataclass(frozen=True)
class QueryFigures:
    """The figures of each query [Q], in fractions of 1; NaN, and rank 0, of a query without a match after removal."""

    average_precision: NDArray[np.floating]
    first_rank: NDArray[np.int32]
    """The rank of the first match, from 1."""
    last_precision: NDArray[np.floating]
    """INP: the number of matches / the rank of the last one."""

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Which queries have a match."""
        return self.first_rank > 0

    def mean(self, ranks: Sequence[int] = (1, 5, 10), *, among: ArrayLike | None = None) -> RankingResult:
        """Average over the valid queries, or over those of them that are `among` [Q]; at least one has to be."""
        asked = np.ones(len(self.first_rank), bool) if among is None else np.asarray(among, bool)
        chosen = asked & self.valid
        first_rank = self.first_rank[chosen]
        return RankingResult(
            mAP=float(self.average_precision[chosen].mean()),
            cmc={rank: float((first_rank <= rank).mean()) for rank in ranks},
            mINP=float(self.last_precision[chosen].mean()),
            num_valid=len(first_rank),
            num_skipped=int(asked.sum()) - len(first_rank),
        )


def rank_gallery(distances: ArrayLike) -> NDArray[np.intp]:
    """Sort gallery indices [Q, G], nearest first; entries at equal distance keep the order of the gallery.

    Raises:
        ValueError: a distance is not finite, since NaN has no place in an order.
    """
    distances = np.asarray(distances)
    _check_finite(distances)
    return np.argsort(distances, axis=1, kind="stable")


def evaluate_ranking(
    distances: AnyDistances,
    *,
    query_pids: ArrayLike,
    gallery_pids: ArrayLike,
    query_groups: ArrayLike,
    gallery_groups: ArrayLike,
    ranks: Sequence[int] = (1, 5, 10),
    group_name: str = "group",
    block_size: int | None = None,
) -> RankingResult:
    """Judge the ranking of distances [Q, G] by mAP, CMC at `ranks` and mINP, after the removal rule.

        AP  = sum over matches of precision at the match's rank / number of matches
        CMC = share of queries whose first match stands at rank k or before
        INP = number of matches / rank of the last match

    Queries without a match after removal are skipped and counted. `group_name` (camid or scene) is for
    messages only; `block_size` queries are ranked at once, which changes memory and nothing else.

    Raises:
        ValueError: shapes disagree, a distance is not finite, or no query is valid.
    """
    if not ranks or min(ranks) < 1:
        raise ValueError(f"ranks must be one or more numbers from 1 upwards, got {tuple(ranks)}")
    figures = judge_queries(
        distances,
        query_pids=query_pids,
        gallery_pids=gallery_pids,
        query_groups=query_groups,
        gallery_groups=gallery_groups,
        block_size=block_size,
    )
    if not figures.valid.any():
        labels = _Labels.checked(distances, query_pids, gallery_pids, query_groups, gallery_groups)
        raise ValueError(_why_no_query_is_valid(labels, group_name))
    return figures.mean(ranks)


def judge_queries(
    distances: AnyDistances,
    *,
    query_pids: ArrayLike,
    gallery_pids: ArrayLike,
    query_groups: ArrayLike,
    gallery_groups: ArrayLike,
    block_size: int | None = None,
) -> QueryFigures:
    """Judge the list of each query as `evaluate_ranking` does; it may be that no query is valid."""
    labels = _Labels.checked(distances, query_pids, gallery_pids, query_groups, gallery_groups)
    rows_of, num_queries = as_rows(distances), len(labels.query_pids)
    precision, last_precision = np.full((2, num_queries), np.nan)
    first_rank = np.zeros(num_queries, np.int32)
    entries_of = _entries_by_pid(labels.gallery_pids)

    def judge(block: slice) -> None:
        rows = rows_of[block]
        _check_finite(rows)
        ascending = np.sort(rows, axis=1)
        precision_at = np.zeros(rows.shape[1])
        for i, query in enumerate(range(num_queries)[block]):
            entries = entries_of(labels.query_pids[query])
            kept = _is_kept(labels.query_groups[query], labels.gallery_groups[entries])
            if not kept.any():
                continue
            place = _places(rows[i], ascending[i], entries)
            order = np.argsort(place)
            place, is_match = place[order], kept[order]
            rank = (place + 1 - np.cumsum(~is_match))[is_match]
            # Summed as a part of the whole list, so that the sum is rounded as it always was.
            precision_at[place[is_match]] = np.arange(1, len(rank) + 1) / rank
            precision[query] = precision_at.sum() / len(rank)
            precision_at[place] = 0
            first_rank[query], last_precision[query] = rank[0], len(rank) / rank[-1]

    # NumPy sorts without holding Python's lock, so that one block is sorted while another is judged.
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(judge, _blocks(labels, JUDGED_ENTRIES, block_size)):
            pass
    return QueryFigures(precision, first_rank, last_precision)


def average_precisions(
    distances: AnyDistances,
    *,
    query_pids: ArrayLike,
    gallery_pids: ArrayLike,
    query_groups: ArrayLike,
    gallery_groups: ArrayLike,
) -> NDArray[np.floating]:
    """Compute the AP of each query [Q], in fractions of 1, as `evaluate_ranking` does; NaN where no match is left."""
    return judge_queries(
        distances,
        query_pids=query_pids,
        gallery_pids=gallery_pids,
        query_groups=query_groups,
        gallery_groups=gallery_groups,
    ).average_precision


def top_matches(
    distances: AnyDistances,
    *,
    query_pids: ArrayLike,
    gallery_pids: ArrayLike,
    query_groups: ArrayLike,
    gallery_groups: ArrayLike,
    k: int = 10,
) -> NDArray[np.intp]:
    """Find the gallery indices [Q, k] of each query's best entries after removal; -1 where the list is shorter."""
    labels = _Labels.checked(distances, query_pids, gallery_pids, query_groups, gallery_groups)
    top = np.full((len(labels.query_pids), k), -1, dtype=np.intp)
    for block in _ranked_blocks(as_rows(distances), labels):
        rows, columns = np.nonzero(block.kept & (block.rank <= k))
        top[block.start + rows, block.rank[rows, columns] - 1] = block.order[rows, columns]
    return top


@dataclass(frozen=True)
class _Labels:
    """Who and where: pids and groups of the queries [Q] and of the gallery [G]."""

    query_pids: NDArray
    gallery_pids: NDArray
    query_groups: NDArray
    gallery_groups: NDArray

    @classmethod
    def checked(cls, distances: AnyDistances, *arrays: ArrayLike) -> "_Labels":
        """The four arrays, if their lengths are those of `distances` [Q, G] and neither is 0."""
        shape = as_rows(distances).shape
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"distances must be [Q, G] with at least one query and one entry, got {shape}")
        labels = cls(*map(np.asarray, arrays))
        for name, array in vars(labels).items():
            expected = (shape[0 if name.startswith("query") else 1],)
            if array.shape != expected:
                raise ValueError(f"{name} has shape {array.shape}, distances {shape} need {expected}")
        return labels


@dataclass(frozen=True)
class _RankedBlock:
    """The galleries of a few queries, from query `start` on, nearest first; every array is [b, G]."""

    start: int
    order: NDArray[np.intp]
    kept: NDArray[np.bool_]
    rank: NDArray[np.int32]  # counts kept entries only, from 1; meaningless where `kept` is false


def _blocks(labels: _Labels, entries: int, block_size: int | None = None) -> Iterator[slice]:
    num_queries, num_gallery = len(labels.query_pids), len(labels.gallery_pids)
    size = block_size or max(1, entries // num_gallery)
    for start in range(0, num_queries, size):
        yield slice(start, start + size)


def _ranked_blocks(distances: NDArray | FeatureDistances, labels: _Labels) -> Iterator[_RankedBlock]:
    for block in _blocks(labels, LISTED_ENTRIES):
        order = rank_gallery(distances[block])
        kept = np.take_along_axis(_kept(labels, block), order, axis=1)
        yield _RankedBlock(block.start, order, kept, kept.cumsum(axis=1, dtype=np.int32))


def _kept(labels: _Labels, block: slice) -> NDArray[np.bool_]:
    """Mark the gallery entries [b, G] that the removal rule leaves in place."""
    known = labels.query_pids[block, None] >= 0
    same_pid = known & (labels.gallery_pids == labels.query_pids[block, None])
    return ~same_pid | _is_kept(labels.query_groups[block, None], labels.gallery_groups)


def _is_kept(query_group: NDArray, gallery_groups: NDArray) -> NDArray[np.bool_]:
    """Tell which entries of a query's own pid the removal rule leaves in place."""
    has_group = query_group >= 0
    same_group = has_group & (gallery_groups == query_group)
    return ~same_group


def _entries_by_pid(gallery_pids: NDArray) -> Callable[[int], NDArray[np.intp]]:
    """Make a function that gives the gallery entries of a pid, in their order; a negative pid has none."""
    order = np.argsort(gallery_pids, kind="stable")
    ascending = gallery_pids[order]

    def entries_of(pid: int) -> NDArray[np.intp]:
        start = np.searchsorted(ascending, pid, side="left")
        end = np.searchsorted(ascending, pid, side="right") if pid >= 0 else start
        return order[start:end]

    return entries_of


def _places(distances: NDArray, ascending: NDArray, entries: NDArray[np.intp]) -> NDArray[np.intp]:
    """Find the places, from 0, of some entries in a gallery [G] sorted by distance; equal ones keep their order.

    Only these entries are looked for: to sort the numbers alone is much faster than to sort the entries by them.
    """
    own = distances[entries]
    place = np.searchsorted(ascending, own, side="left")
    tied = np.searchsorted(ascending, own, side="right") - place > 1
    for i in np.flatnonzero(tied):
        place[i] += np.count_nonzero(distances[: entries[i]] == own[i])
    return place


def _check_finite(distances: NDArray) -> None:
    finite = np.isfinite(distances)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise ValueError(
            f"{np.count_nonzero(~finite)} distances are not finite, the first is {distances[row, column]} "
            f"at gallery entry {column}; the features are broken, look for NaN in the network's output"
        )


def _why_no_query_is_valid(labels: _Labels, group: str) -> str:
    num_queries = len(labels.query_pids)
    known = np.isin(labels.query_pids, labels.gallery_pids) & (labels.query_pids >= 0)
    strangers = num_queries - int(known.sum())
    return (
        f"none of the {num_queries} queries has a match left in the gallery of {len(labels.gallery_pids)}: "
        f"for {num_queries - strangers} the rule 'same pid and same {group}' removed every match, "
        f"for {strangers} the gallery has no entry of their pid. The gallery needs the query's objects under "
        f"another {group}: check how {group} is read (are all equal?) and that the pids of both splits agree"
    )
