"""MSINet as its paper and a listing of its arrays' names describe it: functions of named arrays, for PyTorch."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from man_jax.networks.msinet_keys import PUBLISHED

WIDTHS = (64, 256, 384, 512)
State = dict[str, Tensor]


def shapes(widths=WIDTHS, interactions=PUBLISHED, half_channels: int = 0) -> dict[str, tuple[int, ...]]:
    """The name and the shape of every array."""
    found: dict[str, tuple[int, ...]] = {}

    def norm(name: str, channels: int) -> None:
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.{leaf}"] = (channels,)

    def unit(name: str, inputs: int, outputs: int, size: int = 1) -> None:
        found[f"{name}.conv.weight"] = (outputs, inputs, size, size)
        norm(f"{name}.bn", outputs)

    def light(name: str, channels: int) -> None:
        found[f"{name}.conv1.weight"] = (channels, channels, 1, 1)
        found[f"{name}.conv2.weight"] = (channels, 1, 3, 3)
        norm(f"{name}.bn", channels)

    def biased(name: str, inputs: int, outputs: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = (outputs, inputs, 1, 1), (outputs,)

    unit("conv1", 3, widths[0], 7)
    for stage in range(len(widths) - 1):
        for place in range(2):
            cell, outputs = f"cells.{3 * stage + place}", widths[stage + 1]
            inputs, middle = widths[stage] if place == 0 else outputs, outputs // 4
            unit(f"{cell}.conv1a", inputs, middle)
            unit(f"{cell}.conv1b", inputs, middle)
            for number in (2, 3):
                light(f"{cell}.conv{number}a", middle)
                for depth in range(3):
                    light(f"{cell}.conv{number}b.{depth}", middle)
                kind = interactions[4 * stage + 2 * place + number - 2]
                if kind == "ag":
                    inner = max(1, middle // 16)
                    biased(f"{cell}._op{number}.fc1", middle, inner)
                    biased(f"{cell}._op{number}.fc2", inner, middle)
                elif kind == "cross_att":
                    found[f"{cell}._op{number}.gamma"] = (1,)
            unit(f"{cell}.conv4a", middle, outputs)
            unit(f"{cell}.conv4b", middle, outputs)
            if inputs != outputs:
                unit(f"{cell}.downsample", inputs, outputs)
        if stage < len(widths) - 2:
            unit(f"cells.{3 * stage + 2}.0", widths[stage + 1], widths[stage + 1])
    if half_channels:
        biased("f_conv", widths[-2], half_channels)
    return found


def drawn_state(seed: int = 0, **kind) -> dict[str, np.ndarray]:
    """Random arrays under which no norm, bias, gate or attention is without effect."""
    rng, state = np.random.default_rng(seed), {}
    for name, shape in shapes(**kind).items():
        if name.endswith("running_var") or (len(shape) == 1 and name.endswith(("weight", "gamma"))):
            state[name] = rng.uniform(0.5, 1.5, shape)
        elif len(shape) == 1:
            state[name] = rng.uniform(-0.5, 0.5, shape)
        else:
            state[name] = rng.normal(scale=np.prod(shape[1:]) ** -0.5, size=shape)
    return state


def features(
    state: State, images: Tensor, *, interactions=PUBLISHED, half_channels: int = 0, train: bool = False
) -> Tensor:
    """The features [B, D] of images [B, 3, H, W]; in training the norms have the moments of the batch."""

    def norm(name: str, x: Tensor) -> Tensor:
        moments = [None, None] if train else [state[f"{name}.running_{moment}"] for moment in ("mean", "var")]
        return functional.batch_norm(
            x, *moments, state[f"{name}.weight"], state[f"{name}.bias"], training=train
        )

    def unit(name: str, x: Tensor, **kind: int) -> Tensor:
        return norm(f"{name}.bn", functional.conv2d(x, state[f"{name}.conv.weight"], **kind))

    def light(name: str, x: Tensor) -> Tensor:
        x = functional.conv2d(x, state[f"{name}.conv1.weight"])
        x = functional.conv2d(x, state[f"{name}.conv2.weight"], padding=1, groups=x.shape[1])
        return torch.relu(norm(f"{name}.bn", x))

    def gated(name: str, x: Tensor) -> Tensor:
        squeezed = x.mean((2, 3)) @ state[f"{name}.fc1.weight"][:, :, 0, 0].T + state[f"{name}.fc1.bias"]
        scores = torch.relu(squeezed) @ state[f"{name}.fc2.weight"][:, :, 0, 0].T + state[f"{name}.fc2.bias"]
        return x * torch.sigmoid(scores)[:, :, None, None]

    def attended(name: str, x: Tensor, other: Tensor) -> Tensor:
        energy = torch.einsum("bchw,bdhw->bcd", x, other)
        share = torch.softmax(energy.amax(2, keepdim=True) - energy, dim=2)
        return x + state[f"{name}.gamma"] * torch.einsum("bcd,bdhw->bchw", share, x)

    def interact(kind: str, name: str, near: Tensor, far: Tensor) -> tuple[Tensor, Tensor]:
        if kind == "ag":
            return gated(name, near), gated(name, far)
        if kind == "cross_att":
            return attended(name, near, far), attended(name, far, near)
        return (far, near) if kind == "exc" else (near, far)

    def cell(name: str, kinds, x: Tensor) -> Tensor:
        near, far = torch.relu(unit(f"{name}.conv1a", x)), torch.relu(unit(f"{name}.conv1b", x))
        for number, kind in zip((2, 3), kinds, strict=True):
            near = light(f"{name}.conv{number}a", near)
            for depth in range(3):
                far = light(f"{name}.conv{number}b.{depth}", far)
            near, far = interact(kind, f"{name}._op{number}", near, far)
        if f"{name}.downsample.conv.weight" in state:
            x = unit(f"{name}.downsample", x)
        return torch.relu(unit(f"{name}.conv4a", near) + unit(f"{name}.conv4b", far) + x)

    x = functional.max_pool2d(torch.relu(unit("conv1", images, stride=2, padding=3)), 3, stride=2, padding=1)
    pooled = []
    for stage in range(len(interactions) // 4):
        if stage:
            x = functional.avg_pool2d(torch.relu(unit(f"cells.{3 * stage - 1}.0", x)), 2)
        if half_channels and stage == len(interactions) // 4 - 1:
            maps = functional.conv2d(x, state["f_conv.weight"], state["f_conv.bias"])
            rows = maps.shape[2] // 2
            pooled = [maps[:, :, :rows].mean((2, 3)), maps[:, :, rows:].mean((2, 3))]
        for place in range(2):
            first = 4 * stage + 2 * place
            x = cell(f"cells.{3 * stage + place}", interactions[first : first + 2], x)
    return torch.cat([x.mean((2, 3)), *pooled], dim=1)
