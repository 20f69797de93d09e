"""How far our P2LR is from its public code on the same arrays: python -m benchmarks.parity_p2lr --code FOLDER.

FOLDER is a checkout of github.com/JeyesHan/P2LR. Prints the largest difference of each formula, and of the gradient of
a student's loss, in double precision where that code computes in it.
"""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.public_code import Case, code_folder, definitions, report
from man_jax.clustering.uncertainty import label_uncertainty, selected_share
from man_jax.losses.identity import smoothed_cross_entropy
from man_jax.losses.soft import soft_cross_entropy, soft_triplet, softmax_triplet
from man_jax.memories.moving_average import moving_average
from tests.oracles.cases import unit_normal

CASES = 200
N, K, D = 60, 7, 16
P, INSTANCES = 4, 4


def compare(code: Path, seed: int) -> Case:
    """Compute every formula of ours and of the public code for the arrays of a seed."""
    return {**selection(code, seed), **step(code, seed), **teacher(code, seed)}


def selection(code: Path, seed: int) -> Case:
    """Compare the uncertainty of labels, and the share of the samples that an epoch selects."""
    script = code / "examples/train_P2LR_kmeans.py"
    theirs = definitions(script, "ProbUncertain", "scheduler")
    rng = np.random.default_rng(seed)
    features, centres, labels = unit_normal(rng, N, D), unit_normal(rng, K, D), rng.integers(0, K, N)
    uncertainty = label_uncertainty(features, centres, labels)
    # That code fills the ideal answers in single precision.
    expected = theirs.ProbUncertain().cal_uncertainty(features, labels, centres)
    epochs = int(rng.integers(2, 71))
    epoch = int(rng.integers(0, epochs))
    share = selected_share(epoch / (epochs - 1), first=0.3, bend=1.5)
    expected_share = theirs.scheduler(epoch, epochs - 1, 0.3)
    return {
        "uncertainty": (uncertainty, expected),
        "share of an epoch": (share, expected_share),
    }


def step(code: Path, seed: int) -> Case:
    """Compare the four terms of a student, and the gradient of its loss by logits and features."""
    cross, triplets = (code / "P2LR/loss" / name for name in ("crossentropy.py", "triplet.py"))
    theirs = definitions(cross, "CrossEntropyLabelSmooth", "KLDivLoss")
    soft_tri = definitions(triplets, "euclidean_dist", "_batch_hard", "SoftTripletLoss").SoftTripletLoss
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.permutation(K)[:P], INSTANCES)
    arrays = [rng.normal(size=(P * INSTANCES, size)) for size in (K, D, K, D, K, D)]
    logits, features = (torch.tensor(each, requires_grad=True) for each in arrays[:2])
    answers = [(torch.tensor(a) + torch.tensor(b)) / 2 for a, b in zip(arrays[2:4], arrays[4:], strict=True)]
    known = torch.tensor(labels)
    expected = [
        theirs.CrossEntropyLabelSmooth(K)(logits, known),
        soft_tri(margin=0.0)(features, features, known),
        theirs.KLDivLoss()(logits, answers[0]),
        soft_tri(margin=None)(features, answers[1], known),
    ]
    factors = (0.5, 0.2, 0.5, 0.8)
    torch.dot(torch.tensor(factors, dtype=torch.float64), torch.stack(expected)).backward()
    means = [answer.numpy() for answer in answers]
    terms = partial(student_terms, labels=labels, answers=means)
    ours = terms(*arrays[:2])
    slopes = jax.grad(lambda *x: sum(f * t for f, t in zip(factors, terms(*x), strict=True)), argnums=(0, 1))(
        *(jnp.asarray(each) for each in arrays[:2])
    )
    answer = torch.softmax(answers[0], dim=1)
    entropy = -(answer * torch.log(answer)).sum(dim=1).mean()
    expected[2] = expected[2] + entropy
    names = ("cross-entropy", "softmax triplet", "divergence, plus the answer's entropy", "soft triplet")
    of_terms = dict(zip(names, zip(ours, expected, strict=True), strict=True))
    return of_terms | {
        "gradient by the logits": (slopes[0], logits.grad),
        "gradient by the features": (slopes[1], features.grad),
    }


def student_terms(logits, features, *, labels, answers) -> tuple[jax.Array, ...]:
    """Compute our four terms of a student."""
    return (
        jnp.mean(smoothed_cross_entropy(logits, labels)),
        softmax_triplet(features, labels),
        soft_cross_entropy(logits, answers[0]),
        soft_triplet(features, answers[1], labels),
    )


def teacher(code: Path, seed: int) -> Case:
    """Compare an update of a teacher's parameters."""
    update = definitions(code / "P2LR/trainers.py", "_update_ema_variables")._update_ema_variables
    rng = np.random.default_rng(seed)
    student, follower = (torch.nn.Linear(D, K, dtype=torch.float64) for _ in range(2))
    for network in (student, follower):
        for parameter in network.parameters():
            parameter.data = torch.tensor(rng.normal(size=tuple(parameter.shape)))
    number = int(rng.integers(0, 3000))
    before, target = (
        [each.detach().numpy().copy() for each in network.parameters()] for network in (follower, student)
    )
    update(None, student, follower, 0.999, number)
    moved = moving_average([jnp.asarray(each) for each in before], target, step=number)
    return {
        "moving average": (
            np.concatenate([np.ravel(each) for each in moved]),
            np.concatenate([np.ravel(each.detach().numpy()) for each in follower.parameters()]),
        )
    }


if __name__ == "__main__":
    folder = code_folder(__doc__)
    with jax.enable_x64(True):
        report(partial(compare, folder), range(CASES))
