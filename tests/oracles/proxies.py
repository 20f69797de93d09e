"""Camera proxies and their associations, one row, one camera and one proxy at a time."""

import math

import numpy as np

from tests.oracles.geometry import Array, dot, unit


def proxies_of(features: Array, clusters, cameras) -> dict[tuple[int, int], Array]:
    """The centre of each (cluster, camera), in the order of their numbers."""
    members: dict[tuple[int, int], list] = {}
    for row, cluster, camera in zip(features, clusters, cameras, strict=True):
        if cluster >= 0:
            members.setdefault((int(cluster), int(camera)), []).append(row)
    return {pair: unit(sum(rows) / len(rows)) for pair, rows in sorted(members.items())}


def associated(similarity, positives, order, exists, temperature: float, num_negatives: int) -> float:
    """Of one row; `positives` are numbers of proxies."""
    others = [p for p in range(len(similarity)) if exists[p] and p not in positives]
    hardest = sorted(others, key=lambda p: -order[p])[:num_negatives]
    if not positives:
        return 0.0
    whole = sum(math.exp(similarity[p] / temperature) for p in [*positives, *hardest])
    return -sum(math.log(math.exp(similarity[p] / temperature) / whole) for p in positives) / len(positives)


def nearest_in_cameras(order, cameras, exists, num_positives: int) -> set[int]:
    """Of one row: the number of the best proxy of each camera, the best of these."""
    best: dict[int, int] = {}
    for p, camera in enumerate(cameras):
        if exists[p] and camera >= 0 and (camera not in best or order[p] > order[best[camera]]):
            best[camera] = p
    return set(sorted(best.values(), key=lambda p: -order[p])[:num_positives])


def sum_of_camera_means(values, cameras, weight) -> float:
    total = 0.0
    for camera in set(np.asarray(cameras).tolist()):
        rows = [i for i in range(len(values)) if cameras[i] == camera and weight[i] > 0]
        if rows:
            total += sum(weight[i] * values[i] for i in rows) / sum(weight[i] for i in rows)
    return total


def losses(features: Array, labels, row_cameras, weight, proxies, settings) -> dict[str, float]:
    """Both losses of a batch. `proxies` is what `proxies_of` gives; `settings` are the method's keys."""
    pairs, centres = list(proxies), list(proxies.values())
    exists = [True] * len(pairs)
    of_cameras = [camera for _, camera in pairs]
    values: dict[str, list] = {"offline": [], "online": []}
    counted = []
    for row, label, camera, importance in zip(features, labels, row_cameras, weight, strict=True):
        pair = (int(label), int(camera))
        counted.append(float(importance) if pair in proxies else 0.0)
        similarity = [dot(row, centre) for centre in centres]
        own = proxies.get(pair, centres[0])
        share = settings["balance"]
        mixed = [
            share * s + (1 - share) * dot(own, centre) for s, centre in zip(similarity, centres, strict=True)
        ]
        offline = {p for p, (cluster, _) in enumerate(pairs) if cluster == label}
        online = nearest_in_cameras(mixed, of_cameras, exists, settings["positives"])
        tau, negatives = settings["temperature"], settings["negatives"]
        values["offline"].append(associated(similarity, offline, similarity, exists, tau, negatives))
        values["online"].append(associated(similarity, online, mixed, exists, tau, negatives))
    return {name: sum_of_camera_means(each, row_cameras, counted) for name, each in values.items()}
