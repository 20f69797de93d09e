"""Two students and two mean teachers: what a student's loss consists of, and what becomes of all four networks.

Source: Ge et al., "Mutual mean-teaching: pseudo label refinery for unsupervised domain adaptation on person
re-identification", ICLR 2020. Methods that build on it share this file.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32

from man_jax.array_math import unit
from man_jax.losses.identity import smoothed_cross_entropy
from man_jax.losses.soft import soft_cross_entropy, soft_triplet, softmax_triplet
from man_jax.losses.weighted import weighted_mean
from man_jax.memories.moving_average import moving_average
from man_jax.memories.prototypes import Bank, make_bank
from man_jax.networks.heads import ColumnNorm, set_columns
from man_jax.networks.three_branch import Outputs

PAIR = ("first", "second")
"""The names of the students, and of their teachers."""
Terms = dict[str, Float[Array, ""]]
Answer = tuple[Float[Array, "B C"], Float[Array, "B F"]]
"""Logits and pooled features of the fusion, that a student is to learn."""
Learnt = tuple[Int[Array, " B"], Float[Array, " B"]]
"""The classes of a batch, and their weights."""


def hard_terms(
    student: Outputs,
    labels: Int[Array, " B"],
    weight: Float[Array, " B"],
    *,
    exists: Bool[Array, " C"],
    smoothing: float,
) -> Terms:
    """Compute the cross-entropy and the softmax triplet of a student's fused outputs, from labels."""
    values = smoothed_cross_entropy(student.logits[-1], labels, smoothing=smoothing, exists=exists)
    return {
        "identity": weighted_mean(values, weight),
        "triplet": softmax_triplet(student.features.fused_pooled, labels, weight=weight),
    }


def soft_terms(
    student: Outputs,
    logits: Float[Array, "B C"],
    pooled: Float[Array, "B F"],
    labels: Int[Array, " B"],
    weight: Float[Array, " B"],
    *,
    exists: Bool[Array, " C"],
) -> Terms:
    """Compare a student's fused outputs with the logits and the pooled features that teachers give."""
    return {
        "soft_identity": soft_cross_entropy(student.logits[-1], logits, exists=exists, weight=weight),
        "soft_triplet": soft_triplet(student.features.fused_pooled, pooled, labels, weight=weight),
    }


def mutual_terms(
    students: Mapping[str, tuple[Outputs | None, Outputs]],
    answers: Mapping[str, Answer],
    *,
    source: Learnt | None,
    target: Learnt,
    exists: Bool[Array, " C"],
    smoothing: float,
) -> Terms:
    """Compute the terms of both students, named by student; `answers` are what teachers say to each student.

    Each student has its outputs of the source, or None, and of the target.
    """
    terms = {}
    for name, (of_source, of_target) in students.items():
        hard = hard_terms(of_target, *target, exists=exists, smoothing=smoothing)
        terms |= {f"{term}_target_{name}": value for term, value in hard.items()}
        soft = soft_terms(of_target, *answers[name], *target, exists=exists)
        terms |= {f"{term}_{name}": value for term, value in soft.items()}
        if source is not None and of_source is not None:
            hard = hard_terms(of_source, *source, exists=exists, smoothing=smoothing)
            terms |= {f"{term}_source_{name}": value for term, value in hard.items()}
    return terms


def mutual_factors(*, soft_identity: float, soft_triplet: float) -> dict[str, float]:
    """Give the factors of the target's terms of both students, by the shares of the soft ones."""
    factors = {
        "identity_target": 1.0 - soft_identity,
        "triplet_target": 1.0 - soft_triplet,
        "soft_identity": soft_identity,
        "soft_triplet": soft_triplet,
    }
    return {f"{term}_{name}": factor for term, factor in factors.items() for name in PAIR}


def answer(teacher: Outputs) -> Answer:
    """Take what a teacher says of a batch."""
    return teacher.logits[-1], teacher.features.fused_pooled


def mean_answer(teachers: Sequence[Outputs]) -> Answer:
    """Average what teachers say of a batch, each of its own view."""
    logits, pooled = zip(*map(answer, teachers), strict=True)
    return jnp.mean(jnp.stack(logits), axis=0), jnp.mean(jnp.stack(pooled), axis=0)


def mean_direction(tables: Sequence[Float[np.ndarray, "... D"]]) -> Float[np.ndarray, "... D"]:
    """Average the unit features that several networks give, and bring the means to unit length."""
    return np.asarray(unit(jnp.asarray(sum(tables))))


def mean_centres(
    modal: Sequence[Float[np.ndarray, "M N D"]],
    fused: Sequence[Float[np.ndarray, "N F"]],
    labels: Int[np.ndarray, " N"],
    *,
    num_clusters: int,
    mask: Bool[np.ndarray, " N"],
) -> Bank:
    """Compute the centres of the clusters from the mean of both teachers' features."""
    return make_bank(
        mean_direction(modal),
        mean_direction(fused),
        labels,
        num_classes=num_clusters,
        mask=mask,
        weights="average",
        temperature=1.0,
    )


def with_columns(params: Mapping[str, Any], centres: Bank, *, first: int, norm: ColumnNorm) -> dict[str, Any]:
    """Give a network's heads the clusters' centres as columns, from `first` on."""
    heads = set_columns(
        params["heads"], centres.modal, centres.fused, first=first, valid=centres.valid, norm=norm
    )
    return {**params, "heads": heads}


def follow_students(
    teachers: Mapping[str, Mapping[str, Any]],
    students: Mapping[str, Any],
    *,
    step: Int32[Array, ""],
    alpha: float,
) -> dict[str, dict[str, Any]]:
    """Move the parameters of each teacher towards those of the student of the same name."""
    return {
        name: {
            **teacher,
            "params": moving_average(teacher["params"], students[name], step=step, alpha=alpha),
        }
        for name, teacher in teachers.items()
    }
