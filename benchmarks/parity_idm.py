"""How far our IDM is from its public code: python -m benchmarks.parity_idm --code CHECKOUT.

CHECKOUT is a copy of github.com/SikaStar/IDM. A step of its trainer with a ResNet-50 and one of ours get the same
weights, images, labels and memory, in double precision. The table has the largest difference of each term and of the
gradients of all parameters, relative to the largest number of each array. The other cases are those of one formula
with drawn arrays.
"""

import argparse
import contextlib
import importlib
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import torch

from man_jax.configs import default
from man_jax.engine.build import build_frame
from man_jax.frame import Batch, ByDomain, LabelSpace, TrainState
from man_jax.losses.bridge import feature_bridge, mixed_cross_entropy, share_diversity
from man_jax.methods import idm
from man_jax.networks.domain_mixing import mix_maps, mixing_shares
from man_jax.networks.domain_norms import norms_of
from man_jax.networks.pretrained.matching import match_weights
from tests.oracles.torch_networks import Bottleneck, TorchvisionResNet
from tests.oracles.torch_weights import relative_error, variable_shapes

PAIRS, SIZE, SOURCE, TARGET = 8, (64, 32), 3, 4
"""Pairs of triples in a batch, the images' height and width, and the classes of both domains."""
CASES = 20
STREAMS = {"source": "BN_S", "target": "BN_T", "mixed": "BN_mix"}


def public_code(folder: Path) -> SimpleNamespace:
    """Import the parts of the public code that are compared, without those that need more packages."""
    for name in ("idm", "idm.models", "idm.utils"):
        package = ModuleType(name)
        package.__path__ = [str(folder / name.replace(".", "/"))]
        sys.modules[name] = package
    sys.modules["idm.evaluation_metrics"] = ModuleType("idm.evaluation_metrics")
    sys.modules["idm.evaluation_metrics"].accuracy = lambda *_: (torch.zeros(1),)  # type: ignore[attr-defined]
    models = SimpleNamespace(**{f"resnet{depth}": resnet50 for depth in (18, 34, 50, 101, 152)})
    sys.modules["torchvision"] = ModuleType("torchvision")
    sys.modules["torchvision"].models = models  # type: ignore[attr-defined]
    modules = {
        "losses": "idm.loss.idm_loss",
        "module": "idm.models.idm_module",
        "norms": "idm.models.idm_dsbn",
    }
    modules |= {"network": "idm.models.resnet_idm", "queue": "idm.models.xbm", "trainer": "idm.trainers"}
    return SimpleNamespace(**{name: importlib.import_module(path) for name, path in modules.items()})


def resnet50(*, pretrained: bool) -> torch.nn.Module:
    """Make torchvision's ResNet-50, as the tests write it."""
    assert not pretrained
    network = TorchvisionResNet(Bottleneck, (3, 4, 6, 3))
    network.relu = torch.nn.ReLU()
    return network


def formulas(code: SimpleNamespace) -> Iterator[tuple[str, float]]:
    """Compare the module and each of its losses, with drawn arrays."""
    rng, tensor = np.random.default_rng(0), torch.from_numpy
    for _ in range(CASES):
        channels, shape = 6, (2 * PAIRS, 6, 4, 3)
        theirs, maps = code.module.IDM(channels), rng.normal(size=shape)
        layers = {
            f"fc{n}": {"kernel": layer.weight.detach().numpy().T, "bias": layer.bias.detach().numpy()}
            for n, layer in enumerate((theirs.adaptiveFC1, theirs.adaptiveFC2, theirs.adaptiveFC3), start=1)
        }
        wanted, lam = (each.detach().numpy() for each in theirs(tensor(maps)))
        ours = [half.transpose(0, 2, 3, 1)[None] for half in np.split(maps, 2)]
        shares = mixing_shares(layers, *map(jnp.asarray, ours))
        mixed = np.asarray(mix_maps(*map(jnp.asarray, ours), shares))[0].transpose(0, 3, 1, 2)
        yield "shares λ", relative_error(np.asarray(shares), lam)
        yield "mixed maps", relative_error(mixed, wanted[2 * PAIRS :])
        features = rng.normal(size=(3, PAIRS, 5))
        expected = code.losses.BridgeFeatLoss()(*map(tensor, features), tensor(lam)).item()
        yield (
            "feature bridge",
            abs(float(feature_bridge(*map(jnp.asarray, features), jnp.asarray(lam))) - expected),
        )
        expected = code.losses.DivLoss()(tensor(lam)).item()
        yield "diversity", abs(float(share_diversity(jnp.asarray(lam))) - expected)
        classes = SOURCE + TARGET
        logits = rng.normal(size=(3 * PAIRS, classes))
        labels = rng.integers(0, SOURCE, PAIRS), rng.integers(SOURCE, classes, PAIRS)
        _, bridge = code.losses.BridgeProbLoss(classes)(
            tensor(logits), tensor(np.concatenate(labels)), tensor(lam[:, 0])
        )
        found = mixed_cross_entropy(
            jnp.asarray(logits[2 * PAIRS :]), *map(jnp.asarray, labels), jnp.asarray(lam[:, 0])
        )
        yield "mixed cross-entropy", abs(float(jnp.mean(found)) - bridge.item())


def whole_step(code: SimpleNamespace, stage: int) -> Iterator[tuple[str, float]]:
    """Compare the gradients and the running statistics of a step of both trainers."""
    rng = np.random.default_rng(stage)
    network = code.network.ResNet(50, pretrained=False, num_classes=SOURCE + TARGET)
    names = ["conv", "layer1", "layer2", "layer3", "layer4", "feat_bn"]
    code.norms.convert_dsbn_idm(network, names[stage + 1 :], idm=False)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "BN_" in name and name.endswith("weight"):
                parameter.copy_(torch.from_numpy(rng.uniform(0.8, 1.2, parameter.shape)))
            elif "BN_" in name and not name.startswith("feat_bn"):  # ours has no bias in the neck
                parameter.copy_(torch.from_numpy(rng.normal(scale=0.1, size=parameter.shape)))
            if "adaptiveFC" in name or "classifier" in name:
                scale = parameter.shape[-1] ** -0.5
                parameter.copy_(torch.from_numpy(rng.normal(scale=scale, size=parameter.shape)))
    images = rng.normal(size=(2, PAIRS, *SIZE, 3))
    labels = np.repeat([[0, 2, 1, 0], [3, 1, 0, 2]], 2, axis=1)[:, :PAIRS]
    config = default.get_config()
    config.update_from_flattened_dict(
        {"method": "idm", "data.image_size": SIZE, "model.modalities": ("R",), "model.convolution": "taps"}
        | {"idm.stage": stage, "idm.memory_size": 5 * PAIRS}
    )
    frame = build_frame(config, LabelSpace(SOURCE, TARGET), ByDomain(PAIRS, PAIRS))
    frame = frame._replace(view=lambda _, given: given)
    before = in_our_places(frame, network, stage)
    batches = (new_batch(each, known) for each, known in zip(images, labels, strict=True))

    def total(params: Any, source: Batch, target: Batch) -> Any:
        return idm.loss(frame, params, before, source, target, jax.random.key(0))

    slope, change = jax.jit(jax.grad(total, has_aux=True))(before.params, *batches)
    queue = code.queue.XBM(5 * PAIRS, 2048)
    trainer = code.trainer.IDM_Trainer(network, queue, SOURCE + TARGET, margin=0.3, mu1=0.7, mu2=0.1, mu3=1.0)
    loaders = [
        SimpleNamespace(next=partial(loaded, each, known + first))
        for each, known, first in zip(images, labels, (0, SOURCE), strict=True)
    ]
    still = torch.optim.SGD(network.parameters(), lr=0.0)
    trainer.train(0, *loaders, SOURCE, TARGET, still, train_iters=1, use_xbm=True, stage=stage)
    after = in_our_places(frame, network, stage)
    for name in STREAMS:
        means = (running_means(read(each.statistics[name], name, stage)) for each in (change, after))
        yield f"running means after stage {stage}, {name}", worst(*means)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.zeros(()) if parameter.grad is None else parameter.grad)
    theirs = in_our_places(frame, network, stage).params
    of_heads = slope["network"]["heads"]["fused"]["kernel"], theirs["network"]["heads"]["fused"]["kernel"]
    yield f"gradients after stage {stage}: classifier", relative_error(*map(np.asarray, of_heads))
    yield f"gradients after stage {stage}: mixing module", worst(slope["mixing"], theirs["mixing"])
    for name, norms in slope["norms"].items():
        pair = (read(each, name, stage) for each in (norms, theirs["norms"][name]))
        yield f"gradients after stage {stage}: norms, {name}", worst(*pair)
    branches = slope["network"]["branches"], theirs["network"]["branches"]
    yield f"gradients after stage {stage}: convolutions and the target's norms", worst(*branches)


def worst(actual: Any, expected: Any) -> float:
    """Find the largest of the arrays' errors; where theirs is all zeros, that of the differences."""

    def error(one: Any, other: Any) -> float:
        one, other = np.asarray(one), np.asarray(other)
        return relative_error(one, other) if np.any(other) else float(np.abs(one).max())

    return max(jax.tree.leaves(jax.tree.map(error, actual, expected)))


def read(tree: Any, stream: str, stage: int) -> Any:
    """Leave out the mixtures' norms up to the stage, which nothing reads and the public code does not have."""
    if stream != "mixed":
        return tree
    unread = {"bn1", *(f"layer{number}" for number in range(1, stage + 1))}
    backbone = {name: each for name, each in tree["branches"]["backbone"].items() if name not in unread}
    return {"branches": {**tree["branches"], "backbone": backbone}}


def running_means(statistics: Any) -> list[Any]:
    """Take the running means; running variances differ, because PyTorch divides by one sample less."""
    leaves = jax.tree_util.tree_leaves_with_path(statistics)
    return [leaf for path, leaf in leaves if path[-1].key == "mean"]


def in_our_places(frame: Any, network: Any, stage: int) -> TrainState:
    """Take the public code's network as a state of ours."""
    arrays = {name: tensor.detach().numpy().copy() for name, tensor in network.state_dict().items()}
    found = {name: of_stream(frame, arrays, norm) for name, norm in STREAMS.items()}
    params, statistics = found["target"]
    state = TrainState(jnp.int32(0), params, ByDomain(statistics, statistics), (), jnp.zeros(()))
    module = f"idm{stage + 1}.adaptiveFC"
    mixing = {
        f"fc{n}": {
            "kernel": jnp.asarray(arrays[f"{module}{n}.weight"].T),
            "bias": jnp.asarray(arrays[f"{module}{n}.bias"]),
        }
        for n in (1, 2, 3)
    }
    norms = {name: norms_of(*found[name]) for name in ("source", "mixed")}
    return idm.start(frame, state).replace(
        params={"network": params, "norms": norms, "mixing": mixing},
        statistics={name: each for name, (_, each) in found.items()},
    )


def of_stream(frame: Any, arrays: dict[str, np.ndarray], norm: str) -> tuple[Any, Any]:
    """Take the parameters and the statistics of the network with the norms of one stream.

    Before the module there are no norms of mixtures; the target's stand for them, which nothing reads.
    """
    own = {}
    for name, array in arrays.items():
        instead = name if ".BN_" not in name or name.replace("BN_T", norm) in arrays else ""
        if f".{norm}." in name or ".BN_" not in name or (".BN_T." in name and not instead):
            own[name.removeprefix("conv.").replace(f".{norm}.", ".").replace(".BN_T.", ".")] = array
    heads = ("feat_bn", "classifier", "idm")
    like = variable_shapes(frame.model.branch.backbone, SIZE, dtype="float64")
    backbone = {name: array for name, array in own.items() if not name.startswith(heads)}
    found: Any = match_weights(backbone, like, family="resnet").variables
    neck = {"mean": own["feat_bn.running_mean"], "var": own["feat_bn.running_var"]}
    branches = {"backbone": found["params"], "neck": {"scale": own["feat_bn.weight"]}}
    kernel = jnp.asarray(own["classifier.weight"].T)
    params, statistics = (
        {"branches": jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], each)}
        for each in (branches, {"backbone": found["batch_stats"], "neck": neck})
    )
    return params | {"heads": {"modal": {"kernel": kernel[None]}, "fused": {"kernel": kernel}}}, statistics


def new_batch(images: np.ndarray, labels: np.ndarray) -> Batch:
    """Make a batch of ours of images [B, H, W, 3]."""
    blank = np.zeros(PAIRS, np.int32)
    present = np.ones((PAIRS, 1), bool)
    return Batch(images[:, None], blank, blank, labels[:, None].astype(np.int32), np.ones(PAIRS), present)


def loaded(images: np.ndarray, classes: np.ndarray) -> tuple[torch.Tensor, ...]:
    """Make what a loader of the public code gives."""
    pids, blank = torch.from_numpy(classes), torch.zeros(PAIRS)
    return torch.from_numpy(images.transpose(0, 3, 1, 2)), blank, pids, blank, blank


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--code", type=Path, required=True, help="the folder of the public code")
    folder = parser.parse_args().code
    torch.set_default_dtype(torch.float64)
    # The public code asks for GPUs, and counts them.
    on_cpu = (
        mock.patch.object(torch.nn.Module, "cuda", lambda module: module),
        mock.patch.object(torch.Tensor, "cuda", lambda tensor: tensor),
        mock.patch.object(torch.cuda, "device_count", return_value=1),
    )
    with contextlib.ExitStack() as stack:
        for patch in on_cpu:
            stack.enter_context(patch)
        stack.enter_context(jax.enable_x64(True))
        code = public_code(folder)
        print("| what | largest difference | cases |", "|---|---|---|", sep="\n")
        for cases in (formulas(code), *(whole_step(code, stage) for stage in (0, 2))):
            errors: dict[str, list[float]] = {}
            for name, error in cases:
                errors.setdefault(name, []).append(error)
            for name, found in errors.items():
                print(f"| {name} | {max(found):.1e} | {len(found)} |", flush=True)
