"""Which rows and prototypes reach which term; the terms themselves have tests of their own."""

import numpy as np
import pytest

from man_jax.memories.prototypes import Bank
from man_jax.networks.three_branch import Features, Outputs
from man_jax.objectives.total import Objective, domain_loss
from tests.oracles import domain as oracle
from tests.oracles.cases import unit_normal
from tests.oracles.geometry import unit
from tests.oracles.precision import assert_close, evaluate

M, B, C, K, D = 3, 4, 3, 2, 5


def outputs(rng: np.random.Generator) -> Outputs:
    pooled, normed, fused_normed = (
        rng.normal(size=(M, B, D)),
        rng.normal(size=(M, B, D)),
        rng.normal(size=(B, M * D)),
    )
    return Outputs(Features(pooled, normed), fused_normed, rng.normal(size=(M + 1, B, C + K)))


def bank(rng: np.random.Generator, num_classes: int) -> Bank:
    valid = np.arange(num_classes) > 0  # the first class has lost its reliable samples
    modal = unit_normal(rng, M, num_classes, D) * valid[:, None]
    return Bank(modal, unit_normal(rng, num_classes, M * D), valid)


def instances(outputs: Outputs) -> np.ndarray:
    return np.array([[unit(row) for row in modality] for modality in outputs.features.normed])


def prototypes(bank: Bank) -> np.ndarray:
    return np.asarray(bank.modal)[:, np.asarray(bank.valid)]


@pytest.mark.parametrize("pairs", ["ins_proto", "ins_ins", "proto_proto"])
def test_the_rows_of_table_5_compare_what_they_are_called_after(pairs):
    rng = np.random.default_rng(0)
    source, target = outputs(rng), outputs(rng)
    resting, moved = ((bank(rng, C), bank(rng, K)) for _ in range(2))
    objective = Objective(domain_pairs=pairs, domain_margin=0.3, domain_inter="hinge")

    def loss(source, target, resting, moved):
        units = (source.features.modal_unit, target.features.modal_unit)
        return domain_loss(*units, banks=resting, moved_banks=moved, objective=objective)

    reading = {"margin": 0.3, "inter": "hinge"}
    if pairs == "ins_proto":
        sets = (instances(source), instances(target), *(prototypes(each) for each in resting))
        expected = oracle.prototype_domain_loss(*sets, **reading)
    else:
        kinds = (source, target) if pairs == "ins_ins" else moved
        rows = instances if pairs == "ins_ins" else prototypes
        once = oracle.alignment_loss(*(rows(kind) for kind in kinds), **reading)
        expected = {name: 2 * half for name, half in once.items()}
    actual = evaluate(loss, source, target, resting, moved)
    for name, half in expected.items():
        assert_close(actual[name], half)
