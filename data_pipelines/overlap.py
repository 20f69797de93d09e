"""Whether a source's training set shows what a target's test set asks for, as far as names can tell."""

from data_pipelines.folders import shortlist
from data_pipelines.prepared import PreparedDataset, PreparedSplit


def overlap_warnings(
    source: PreparedDataset, target: PreparedDataset, *, same_numbering: bool
) -> tuple[str, ...]:
    """Warn of what occurs in the source's train and in the target's query or gallery.

    `same_numbering` says that both number their identities alike, as two copies of one published set do; then equal
    pids are enough. Otherwise only triples are named whose pid and file name are both equal.
    """
    transfer = f"{source.name} → {target.name}"
    if same_numbering:
        shared = sorted(_pids(source.train) & (_pids(target.query) | _pids(target.gallery)))
        what = "identities of the source's train"
    else:
        shared = sorted(_triples(source.train) & (_triples(target.query) | _triples(target.gallery)))
        shared = [f"{name} (pid {pid})" for pid, name in shared]
        what = "triples of the source's train, by pid and file name,"
    if not shared:
        return ()
    return (f"{transfer}: {len(shared)} {what} occur in the target's test: {shortlist(shared, 50)}",)


def _pids(split: PreparedSplit) -> set[int]:
    return {int(pid) for pid in split.pids if pid >= 0}


def _triples(split: PreparedSplit) -> set[tuple[int, str]]:
    return {(int(pid), name) for pid, name in zip(split.pids, split.names, strict=True) if pid >= 0}
