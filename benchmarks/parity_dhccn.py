"""Compare the formulas of DHCCN with its authors' code: the largest differences under the same arrays.

    python -m benchmarks.parity_dhccn --code CHECKOUT

CHECKOUT is a clone of https://github.com/Li-Yongxi/2023-DHCCN. It needs PyTorch and scikit-learn: pip install -e
".[dev]". Their mixture of Gaussians is a call of scikit-learn with constants, which is made here too.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import jax.numpy as jnp
import numpy as np
import torch
from sklearn.mixture import GaussianMixture

from benchmarks.authors_code import clone_given, difference, load, report
from man_jax.array_math import unit
from man_jax.clustering.mixture import lower_of_two_gaussians
from man_jax.losses.contrastive import info_nce
from man_jax.losses.divergence import jensen_shannon
from man_jax.losses.soft import softmax_triplet
from man_jax.memories.centres import update_centres

CASES = 50
B, C, D, N = 12, 7, 24, 400
MEMORIES = ("predict_features", "global_p1_features", "global_p2_features")
MOMENTUM, TEMPERATURE = 0.2, 0.05


def comparisons(code: Path) -> Iterator[tuple[str, float]]:
    """Yield the name of a formula and the difference, case by case."""
    writer = ModuleType("clustercontrast.utils.board_writter")  # their losses write to TensorBoard
    silent = SimpleNamespace(boardWriter=SimpleNamespace(add_scalar=lambda *_: None))
    vars(writer)["BoardWriter"] = silent
    sys.modules[writer.__name__] = writer
    memory = load(code / "clustercontrast/models/cm_dhccn.py")
    triplet = load(code / "clustercontrast/loss/triplet.py").SoftTripletLoss_vallia(margin=0.0)
    for case in range(CASES):
        yield from of_case(np.random.default_rng(case), memory, triplet)


def of_case(rng: np.random.Generator, theirs, triplet) -> Iterator[tuple[str, float]]:
    """Compare each formula once, with drawn arrays."""
    rows = rng.normal(size=(3, B, D))
    centres = np.asarray(unit(jnp.asarray(rng.normal(size=(3, C, D)))))
    ids, few = rng.integers(0, C, B), np.repeat(rng.permutation(C)[:4], B // 4)
    memory = theirs.ClusterMemory(D, C, temp=TEMPERATURE, momentum=MOMENTUM).double()
    for name, values in zip(MEMORIES, centres, strict=True):
        setattr(memory, name, torch.tensor(values))

    def ours(*features):
        units = [unit(each) for each in features]
        contrasts = [
            info_nce(each, jnp.asarray(values), jnp.asarray(ids), temperature=TEMPERATURE)
            for each, values in zip(units, centres, strict=True)
        ]
        return sum(contrasts) + jensen_shannon(units[1], units[2])

    apart = difference(lambda *x: memory(x, torch.tensor(ids)), ours, *rows)
    yield "contrasts with three memories, and divergence", apart
    moved = [
        update_centres(jnp.asarray(values), unit(jnp.asarray(each)), jnp.asarray(ids), momentum=MOMENTUM)
        for values, each in zip(centres, rows, strict=True)
    ]
    found = np.stack([getattr(memory, name).numpy() for name in MEMORIES])
    yield "memories after a step", float(np.abs(found - np.stack(moved)).max())
    apart = difference(
        lambda x: triplet(x, x, torch.tensor(few)), lambda x: softmax_triplet(x, jnp.asarray(few)), rows[0]
    )
    yield "softmax triplet", apart
    losses = np.append(rng.gamma(1.0, 0.1, N), rng.normal(1.0, 0.2, N // 5))
    losses = (losses - losses.min()) / np.ptp(losses)
    model = GaussianMixture(n_components=2, max_iter=100, tol=1e-2, reg_covar=5e-4, random_state=0)
    clean = model.fit(losses[:, None]).predict_proba(losses[:, None])[:, model.means_.argmin()]
    yield "probability of being clean", float(np.abs(clean - lower_of_two_gaussians(losses)).max())


if __name__ == "__main__":
    report(comparisons(clone_given(__doc__ or "", "Li-Yongxi/2023-DHCCN")))
