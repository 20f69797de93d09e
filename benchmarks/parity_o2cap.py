"""How far our O2CAP is from its authors' code: python -m benchmarks.parity_o2cap --code FOLDER.

FOLDER is a checkout of the code that the paper names (github.com/Terminator8758/O2CAP). The same features, proxies and
labels go through its memory module and through ours, in float32 on the CPU. Printed is the largest difference over the
cases, relative to the largest number of theirs: of both losses, of their gradient by the features, of the proxies
after the move, and whether the numbers of the proxies are the same.
"""

import argparse
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.parity import load_module, on_cpu, relative
from man_jax.configs import default
from man_jax.frame import ByDomain
from man_jax.memories.camera_proxies import find_proxies, make_proxies, number_proxies
from man_jax.memories.centres import update_centres
from man_jax.methods.o2cap import target_terms

CASES = 20
NUM_CLUSTERS, NUM_CAMERAS, DIM, NUM_TRIPLES, BATCH = 30, 6, 64, 600, 32


def drawn(seed: int) -> SimpleNamespace:
    """Draw an epoch and a batch of it."""
    rng = np.random.default_rng(seed)
    clusters = rng.integers(0, NUM_CLUSTERS, NUM_TRIPLES)
    cameras = rng.integers(0, NUM_CAMERAS, NUM_TRIPLES)
    centre = rng.normal(size=(NUM_CLUSTERS, DIM))[clusters] + rng.normal(size=(NUM_CAMERAS, DIM))[cameras]
    features = centre + 0.5 * rng.normal(size=(NUM_TRIPLES, DIM))
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    index = rng.permutation(NUM_TRIPLES)[:BATCH]
    rows = features[index] + 0.1 * rng.normal(size=(BATCH, DIM))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return SimpleNamespace(clusters=clusters, cameras=cameras, features=features, index=index, rows=rows)


def theirs(module: ModuleType, case: SimpleNamespace) -> list[np.ndarray]:
    """Compute offline and online loss, the gradient of their sum, and the moved proxies by the authors' module."""
    clusters, cameras = torch.from_numpy(case.clusters), torch.from_numpy(case.cameras)
    proxies = torch.from_numpy(number_proxies(case.clusters, case.cameras).astype(np.int64))
    centres = torch.stack(
        [torch.from_numpy(case.features)[proxies == p].mean(0) for p in range(int(proxies.max()) + 1)]
    )
    values = []
    for wanted in ({"has_cross_cam_loss": True}, {"has_online_proxy_loss": True}, None):
        both = {"has_cross_cam_loss": True, "has_online_proxy_loss": True}
        memory = module.CameraAwareMemory(temp=0.07, momentum=0.2, all_img_cams=cameras, **(wanted or both))
        memory.all_pseudo_label, memory.all_proxy_label = clusters, proxies
        memory.proxy_label_dict = {c: torch.unique(proxies[clusters == c]) for c in range(NUM_CLUSTERS)}
        memory.proxy_cam_dict = {c: torch.unique(proxies[cameras == c]) for c in range(NUM_CAMERAS)}
        memory.global_memory = torch.nn.functional.normalize(centres, dim=1)
        rows = torch.from_numpy(case.rows).requires_grad_()
        index = torch.from_numpy(case.index)
        loss = memory(rows, index, cameras[index], 0)
        loss.backward()
        if wanted:
            values.append(loss.detach().numpy())
    assert rows.grad is not None
    return [*values, rows.grad.numpy(), memory.global_memory.numpy()]


def ours(case: SimpleNamespace) -> list[np.ndarray]:
    """Compute the same by our functions."""
    config: Any = default.get_config()
    made = make_proxies(case.features, case.clusters, case.cameras, capacity=NUM_CLUSTERS * NUM_CAMERAS)
    frame = SimpleNamespace(config=config, cameras=ByDomain(case.cameras, case.cameras))
    label, camera = (jnp.asarray(each[case.index], jnp.int32) for each in (case.clusters, case.cameras))
    batch = SimpleNamespace(label=label, camera=camera, weight=jnp.ones(BATCH))
    numbers = find_proxies(made, label, camera)

    def total(rows):
        terms = target_terms(frame, rows, made, numbers, batch)  # pyright: ignore[reportArgumentType]
        return terms["offline"] + terms["online"], terms

    (_, terms), slope = jax.value_and_grad(total, has_aux=True)(jnp.asarray(case.rows))
    momentum = config.o2cap.momentum
    moved = update_centres(made.centres, case.rows, numbers, exists=made.exists, momentum=momentum)
    count = int(made.exists.sum())
    return [*map(np.asarray, (terms["offline"], terms["online"], slope, moved[:count]))]


def main() -> None:
    """Compare all cases and print a line for each formula."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity_o2cap", description=__doc__)
    parser.add_argument("--code", type=Path, required=True, help="a checkout of the authors' code")
    flags = parser.parse_args()
    module = load_module(flags.code / "reid/models/o2cap.py")
    names = ("offline loss", "online loss", "gradient of both", "moved proxies")
    differences = np.zeros((CASES, len(names)))
    with on_cpu():
        for seed in range(CASES):
            case = drawn(seed)
            pairs = zip(ours(case), theirs(module, case), strict=True)
            differences[seed] = [relative(mine, other) for mine, other in pairs]
    for name, column in zip(names, differences.T, strict=True):
        print(f"{name:>20}: {column.max():.1e} at most over {CASES} cases")


if __name__ == "__main__":
    main()
