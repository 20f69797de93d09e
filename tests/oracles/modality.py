"""MMA (Eq. 17-20), pair of modalities by pair. Takes valid rows only: masks are left to the subject."""

from itertools import combinations, permutations

from tests.oracles.geometry import Array, cosine, mean, squared_distance


def modality_margin_loss(
    source: Array,
    target: Array,
    source_prototypes: Array,
    target_prototypes: Array,
    *,
    margin: float = 0.5,
    distance: str = "squared",
    reduction: str = "sum",
    pairing: str = "different",
) -> float:
    apart = squared_distance if distance == "squared" else lambda a, b: 1 - cosine(a, b)
    reduce = sum if reduction == "sum" else max

    within = list(combinations(range(len(source)), 2))
    equal = [(m, m) for m in range(len(source))]
    across = equal if pairing == "equal" else list(permutations(range(len(source)), 2))

    def dist(x: Array, y: Array, pairs: list[tuple[int, int]]) -> float:
        if x.shape[1] == 0 or y.shape[1] == 0 or not pairs:
            return 0.0
        return reduce([abs(margin - apart(mean(x[i]), mean(y[j]))) for i, j in pairs])

    def uma(instances: Array, prototypes: Array) -> float:
        return (
            dist(instances, instances, within)
            + dist(prototypes, prototypes, within)
            + dist(instances, prototypes, across)
        )

    return uma(target, source_prototypes) + uma(source, target_prototypes)
