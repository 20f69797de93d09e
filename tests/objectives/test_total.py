"""Which rows and prototypes reach which term; the terms themselves have tests of their own."""

import numpy as np
import pytest

from man_jax.alignment.prototypes import Bank
from man_jax.networks.three_branch import Features, Outputs
from man_jax.objectives.total import Labelled, Objective, domain_loss, reid_loss
from tests.oracles import domain as oracle
from tests.oracles import objectives
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


@pytest.mark.parametrize("fused", ["pooled", "normed"])
def test_l_reid_reads_logits_and_the_features_before_the_necks_but_for_the_fusion_of_the_released_code(fused):
    batch = outputs(np.random.default_rng(1))
    labels, reliable = np.array([0, 0, 2, 1]), np.array([True, True, True, False])
    pooled = np.asarray(batch.features.pooled)
    fusion = np.concatenate(list(pooled), axis=1) if fused == "pooled" else np.asarray(batch.fused_normed)
    kept = labels[reliable]
    triplet = sum(objectives.batch_hard_triplet(rows[reliable], kept) for rows in (*pooled, fusion))
    logits = np.asarray(batch.logits)[:, reliable]
    identity = sum(objectives.smoothed_cross_entropy(rows, kept).mean() for rows in logits)

    def loss(batch):
        return reid_loss(Labelled(batch, labels, reliable), Objective(triplet_fused=fused))

    for actual, expected in zip(evaluate(loss, batch), (identity, triplet), strict=True):
        assert_close(actual, expected)


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
