"""SECRET's refinement of pseudo-labels, one sample and one pair of clusters at a time."""


def keep_overlapping(labels, reference, share: float) -> list[int]:
    kept = []
    for own, other in zip(labels, reference, strict=True):
        if own < 0 or other < 0:
            kept.append(-1)
            continue
        members = [r for c, r in zip(labels, reference, strict=True) if c == own and r >= 0]
        kept.append(int(own) if sum(r == other for r in members) > share * len(members) else -1)
    return kept
