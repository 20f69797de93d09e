"""A mixture of two Gaussians, one number at a time, from the cut of least squares."""

import math


def lower_of_two_gaussians(values, max_iterations=100, tolerance=1e-2, floor=5e-4) -> list[float]:
    x = [float(value) for value in values]

    def squares(some):
        middle = sum(some) / len(some)
        return sum((value - middle) ** 2 for value in some)

    cuts = sorted(set(x))[:-1]
    cut = min(cuts, key=lambda c: squares([v for v in x if v <= c]) + squares([v for v in x if v > c]))
    shares = [[float(value <= cut), float(value > cut)] for value in x]
    before, likelihood = -math.inf, -math.inf

    def maximise():
        found = []
        for k in range(2):
            size = sum(share[k] for share in shares) + 10 * 2**-52
            mean = sum(share[k] * v for share, v in zip(shares, x, strict=True)) / size
            spread = sum(share[k] * (v - mean) ** 2 for share, v in zip(shares, x, strict=True)) / size
            found.append((size / len(x), mean, spread + floor))
        return found

    def expect(model):
        new, total = [], 0.0
        for v in x:
            densities = [
                weight * math.exp(-((v - mean) ** 2) / (2 * spread)) / math.sqrt(2 * math.pi * spread)
                for weight, mean, spread in model
            ]
            new.append([density / sum(densities) for density in densities])
            total += math.log(sum(densities))
        return new, total / len(x)

    model = maximise()
    for _ in range(max_iterations):
        shares, likelihood = expect(model)
        model = maximise()
        if abs(likelihood - before) < tolerance:
            break
        before = likelihood
    shares, _ = expect(model)
    low = 0 if model[0][1] <= model[1][1] else 1
    return [share[low] for share in shares]
