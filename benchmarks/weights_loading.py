"""What loading a ResNet-50 of 100 MB into three branches costs: python -m benchmarks.weights_loading.

Each format is read in a process of its own. Its peak memory (ru_maxrss) is given above that of the same process
with the libraries imported and the three branches in place, so that what is told is the cost of loading alone.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from man_jax.configs import default
from man_jax.engine.build import build_model
from man_jax.engine.initial_weights import read_backbone
from man_jax.networks.three_branch import Variables, with_backbone

MB = 1e6
IMAGE_SIZE = (256, 128)
FORMATS = ("weights.safetensors", "weights.pth", "before_1_6.pth", "one_storage.pth", "weights.npz")
"""`one_storage`: all tensors are views of one array, as a network flattened by its trainer is saved."""


def peak() -> float:
    """Read the largest resident memory of this process so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MB


def blank_branches(config) -> Variables:
    """Make three branches full of zeros: a network drawn at random would need more memory while it is drawn."""
    model = build_model(config.model, num_classes=1)
    shapes = jax.eval_shape(lambda key: model.init(key, IMAGE_SIZE), jax.random.key(0))
    return jax.block_until_ready(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes))


def measure(path: Path) -> str:
    """Measure a line of the table, in a process that has done nothing else."""
    config = default.get_config()
    config.model.pretrained = str(path)
    branches = blank_branches(config)
    before = peak()
    start = time.monotonic()
    backbone = read_backbone(config.model, IMAGE_SIZE)
    assert backbone is not None
    read, after_reading = time.monotonic() - start, peak()
    branches = jax.block_until_ready(with_backbone(branches, backbone.variables))
    whole = time.monotonic() - start
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(branches)) / MB
    return (
        f"| {path.name} | {path.stat().st_size / MB:.0f} | {read:.2f} | {whole:.2f} | "
        f"{after_reading - before:.0f} | {peak() - before:.0f} | {size:.0f} |"
    )


def write(folder: Path) -> None:
    """Write a ResNet-50 of torchvision, with its classifier of 1000, in every format."""
    import numpy as np
    import torch
    from safetensors.torch import save_file

    from tests.oracles.torch_networks import Bottleneck, TorchvisionResNet, stir

    state = stir(TorchvisionResNet(Bottleneck, (3, 4, 6, 3), num_classes=1000)).state_dict()
    save_file(state, folder / "weights.safetensors")
    torch.save(state, folder / "weights.pth")
    torch.save(state, folder / "before_1_6.pth", _use_new_zipfile_serialization=False)
    np.savez(folder / "weights.npz", **{name: tensor.numpy() for name, tensor in state.items()})
    floats = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
    flat = torch.cat([tensor.flatten() for tensor in floats.values()])
    parts = flat.split([tensor.numel() for tensor in floats.values()])
    views = {name: part.view(floats[name].shape) for name, part in zip(floats, parts, strict=True)}
    torch.save(views, folder / "one_storage.pth")


def main(argv: list[str]) -> None:
    """The table; with an argument, the line of that file; with `--write FOLDER`, the files."""
    if argv[:1] == ["--write"]:
        write(Path(argv[1]))
    elif argv:
        print(measure(Path(argv[0])), flush=True)
    else:
        again = [sys.executable, "-m", "benchmarks.weights_loading"]
        print(
            "| file | MB | read, s | in place, s | peak while reading, MB | peak in all, MB | branches, MB |"
        )
        print("|---|---:|---:|---:|---:|---:|---:|", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([*again, "--write", folder], check=True)
            for name in FORMATS:
                subprocess.run([*again, str(Path(folder) / name)], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
