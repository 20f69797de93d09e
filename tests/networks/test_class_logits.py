"""The three heads of L_id."""

import numpy as np
import pytest

from man_jax.networks.class_logits import class_logits
from man_jax.networks.three_branch import Features, Outputs
from tests.oracles.cases import unit_normal
from tests.oracles.geometry import dot
from tests.oracles.precision import assert_close, evaluate, gradient

M, B, D, C, K, TAU = 2, 4, 3, 2, 3, 0.2


def drawn(seed: int):
    rng = np.random.default_rng(seed)
    features = Features(rng.normal(size=(M, B, D)), rng.normal(size=(M, B, D)))
    fused = np.concatenate(list(features.normed), axis=1)
    outputs = Outputs(features, fused, rng.normal(size=(M + 1, B, C + K)))
    heads = {
        "modal": {"kernel": rng.normal(size=(M, D, C + K))},
        "fused": {"kernel": rng.normal(size=(M * D, C + K))},
    }
    prototypes = [(unit_normal(rng, M, n, D), unit_normal(rng, n, M * D)) for n in (C, K)]
    return outputs, heads, prototypes


def cosine(a, b) -> float:
    return dot(a, b) / (dot(a, a) * dot(b, b)) ** 0.5


def formula(outputs, heads, prototypes, head: str) -> np.ndarray:
    """Each logit by itself, of R, N and the fusion."""
    if head == "linear":
        return np.asarray(outputs.logits)
    rows = [*outputs.features.normed, outputs.fused_normed]
    if head == "cosine":
        classes = [*np.swapaxes(heads["modal"]["kernel"], 1, 2), heads["fused"]["kernel"].T]
    else:
        (of_source, fused_source), (of_target, fused_target) = prototypes
        classes = [[*of_source[m], *of_target[m]] for m in range(M)] + [[*fused_source, *fused_target]]
    return np.array(
        [
            [[cosine(row, each) / TAU for each in own] for row in batch]
            for batch, own in zip(rows, classes, strict=True)
        ]
    )


@pytest.mark.parametrize("head", ["linear", "cosine", "memory"])
@pytest.mark.parametrize("seed", range(3))
def test_logits_are_those_of_the_formula(head, seed):
    drawing = drawn(seed)
    assert_close(evaluate(class_logits, *drawing, head=head, temperature=TAU), formula(*drawing, head))


def test_the_length_of_a_column_does_not_matter_to_a_cosine():
    outputs, heads, prototypes = drawn(0)
    longer = {name: {"kernel": each["kernel"] * 7} for name, each in heads.items()}
    logits = [
        evaluate(class_logits, outputs, each, prototypes, head="cosine", temperature=TAU)
        for each in (heads, longer)
    ]
    np.testing.assert_allclose(*logits)


@pytest.mark.parametrize(("head", "learnt"), [("linear", False), ("cosine", True), ("memory", False)])
def test_the_columns_are_learnt_by_a_cosine_and_left_alone_by_a_memory(head, learnt):
    slope = gradient(class_logits, *drawn(1), by=1, head=head, temperature=TAU)
    assert (np.abs(slope["fused"]["kernel"]).max() > 1e-6) == learnt


def test_an_unknown_head_is_refused():
    with pytest.raises(ValueError, match="linear, cosine or memory"):
        class_logits(*drawn(0), head="angular", temperature=TAU)  # pyright: ignore[reportArgumentType]
