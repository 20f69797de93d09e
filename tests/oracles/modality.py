"""MMA (Eq. 17-20), pair of modalities by pair. Takes valid rows only: masks are left to the subject."""

from tests.oracles.geometry import Array, cosine, mean, squared_distance

WITHIN = [(0, 1), (0, 2), (1, 2)]
ACROSS = {
    "different": [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)],
    "equal": [(0, 0), (1, 1), (2, 2)],
}


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

    def dist(x: Array, y: Array, pairs: list[tuple[int, int]]) -> float:
        if x.shape[1] == 0 or y.shape[1] == 0:
            return 0.0
        return reduce([abs(margin - apart(mean(x[i]), mean(y[j]))) for i, j in pairs])

    def uma(instances: Array, prototypes: Array) -> float:
        return (
            dist(instances, instances, WITHIN)
            + dist(prototypes, prototypes, WITHIN)
            + dist(instances, prototypes, ACROSS[pairing])
        )

    return uma(target, source_prototypes) + uma(source, target_prototypes)
