"""How far our DSSM is from its public code on the same arrays: python -m benchmarks.parity_dssm --code FOLDER.

FOLDER is a checkout of github.com/Tchunansheng/DSSM. Prints the largest difference of each formula, and of the gradient
of a domain's loss, in double precision where that code computes in it.
"""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.public_code import Case, code_folder, definitions, report
from man_jax.clustering.subdomain import draw_subdomain, similarity_weights
from man_jax.losses.identity import smoothed_cross_entropy
from man_jax.losses.reweighted import reweighted_mean, reweighted_triplet
from man_jax.memories.moving_average import moving_average
from tests.oracles.cases import unit_normal

CASES = 200
DRAWS = 2000
N, K, D = 40, 6, 16
P, INSTANCES = 4, 4


def compare(code: Path, seed: int) -> Case:
    """Compute every formula of ours and of the public code for the arrays of a seed."""
    return {**sample_weights(code, seed), **step(code, seed), **teacher(code, seed)}


def sample_weights(code: Path, seed: int) -> Case:
    """Compare the weights of samples, of which some are in no cluster."""
    theirs = definitions(code / "examples/train.py", "cal_weight_from_sample").cal_weight_from_sample
    rng = np.random.default_rng(seed)
    features, labels = unit_normal(rng, N, D), rng.integers(-1, K, N)
    # That code keeps the largest similarities in single precision.
    expected = theirs(torch.tensor(features), labels.tolist(), 0.3)
    return {"weights of samples": (similarity_weights(features, labels), expected)}


def step(code: Path, seed: int) -> Case:
    """Compare both terms of a domain, and the gradient of their sum by logits and features."""
    cross = definitions(code / "dssm/loss/crossentropy.py", "CrossEntropyLabelSmooth").CrossEntropyLabelSmooth
    triplets = _triplet_loss(code)
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.permutation(K)[:P], INSTANCES)
    weight = rng.uniform(0.2, 3, len(labels)).astype(np.float32).astype(np.float64)
    arrays = rng.normal(size=(len(labels), K)), rng.normal(size=(len(labels), D))
    logits, features = (torch.tensor(each, requires_grad=True) for each in arrays)
    known, importance = torch.tensor(labels), torch.tensor(weight)
    expected = cross(K)(logits, known, importance), triplets(features, known, importance)
    torch.stack(expected).sum().backward()
    terms = partial(domain_terms, labels=labels, weight=jnp.asarray(weight))
    places = tuple(jnp.asarray(each) for each in arrays)
    slopes = jax.grad(lambda *x: sum(terms(*x), start=jnp.zeros(())), argnums=(0, 1))(*places)
    return {
        "weighted cross-entropy": (terms(*places)[0], expected[0]),
        "weighted triplets": (terms(*places)[1], expected[1]),
        "gradient by the logits": (slopes[0], logits.grad),
        "gradient by the features": (slopes[1], features.grad),
    }


def domain_terms(logits, features, *, labels, weight) -> tuple[jax.Array, jax.Array]:
    """Compute our two terms of a domain."""
    values = smoothed_cross_entropy(logits, labels, smoothing=0.0)
    return reweighted_mean(values, weight), reweighted_triplet(features, labels, weight=weight, margin=0.3)


def _triplet_loss(code: Path):
    names = ("cal_triplet_from_an_ap", "euclidean_dist", "_batch_hard", "TripletLoss")
    torch.Tensor.cuda = lambda tensor, *_: tensor  # that code moves its weights to a GPU
    return definitions(code / "dssm/loss/triplet.py", *names).TripletLoss(0.3)


def teacher(code: Path, seed: int) -> Case:
    """Compare an update of a teacher's parameters and running statistics."""
    update = definitions(code / "dssm/trainers.py", "_update_ema_variables")._update_ema_variables
    rng = np.random.default_rng(seed)
    student, follower = (torch.nn.BatchNorm1d(D, dtype=torch.float64) for _ in range(2))
    names = ("weight", "bias", "running_mean", "running_var")
    for network in (student, follower):
        for name in names:
            getattr(network, name).data = torch.tensor(rng.uniform(0.1, 2, D))
    number = int(rng.integers(0, 3000))
    before, target = (
        {name: getattr(network, name).detach().numpy().copy() for name in names}
        for network in (follower, student)
    )
    update(None, student, follower, 0.999, number)
    moved = moving_average(jax.tree.map(jnp.asarray, before), target, step=number)
    found = [getattr(follower, name).detach().numpy() for name in names]
    return {"moving average": (np.stack([moved[name] for name in names]), np.stack(found))}


def compare_rates(code: Path) -> None:
    """Print how far the quantiles of our rates are from those of that code's rates."""
    theirs = definitions(code / "examples/train.py", "gaussian_rate").gaussian_rate
    np.random.seed(0)
    expected = [theirs(0.5, 0.5, 0.3, 0.9) for _ in range(DRAWS)]
    settings = {"mean": 0.5, "deviation": 0.5, "least": 0.3, "largest": 0.9}
    found = [draw_subdomain(jax.random.key(i), 1000, **settings).mean() for i in range(DRAWS)]
    shares = np.linspace(0.05, 0.95, 19)
    difference = np.max(np.abs(np.quantile(found, shares) - np.quantile(expected, shares)))
    print(f"| quantiles of {DRAWS} rates, by chance about 0.02 | {difference:.1e} | 1 |")


if __name__ == "__main__":
    folder = code_folder(__doc__)
    np.float = float  # that code is of an older NumPy
    with jax.enable_x64(True):
        report(partial(compare, folder), range(CASES))
        compare_rates(folder)
