"""The same network and losses as in our pre-training, as a ReID code in PyTorch writes them."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.oracles.torch_networks import BasicBlock, Bottleneck, TorchvisionResNet

BLOCKS = {"bottleneck": Bottleneck, "basic": BasicBlock}


class Network(nn.Module):
    """A ResNet and a BNNeck for each modality, and a classifier for each modality and for the fusion."""

    def __init__(self, model: Any, num_classes: int):
        super().__init__()
        block = BLOCKS[model.block]
        shape = {"width": model.width, "last_stride": model.last_stride}
        self.branches = nn.ModuleList(
            TorchvisionResNet(block, model.stage_sizes, **shape) for _ in model.modalities
        )
        dim = self.branches[0].inplanes
        for branch in self.branches:
            branch.fc = nn.Identity()
        self.necks = nn.ModuleList(nn.BatchNorm1d(dim) for _ in model.modalities)
        sizes = [dim] * len(model.modalities) + [dim * len(model.modalities)]
        self.heads = nn.ModuleList(nn.Linear(size, num_classes, bias=False) for size in sizes)

    def forward(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Give what triplets compare and the logits, of each modality of images [B, M, 3, H, W] and of the fusion."""
        pooled = [branch(images[:, number]) for number, branch in enumerate(self.branches)]
        normed = [neck(feature.float()) for neck, feature in zip(self.necks, pooled, strict=True)]
        fused = torch.cat(normed, dim=1)
        logits = [head(feature) for head, feature in zip(self.heads, [*normed, fused], strict=True)]
        return [*pooled, fused], logits


def batch_hard_triplet(features: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Compute the batch-hard triplet loss."""
    distance = torch.cdist(features.float(), features.float())
    same = labels[:, None] == labels[None, :]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    farthest = distance.masked_fill(~same | itself, 0).amax(1)
    nearest = distance.masked_fill(same, torch.inf).amin(1)
    return functional.relu(farthest - nearest + margin).mean()


def make_step(
    config: Any, images: Any, labels: Any, *, num_classes: int, compiled: bool = False
) -> Callable[[], None]:
    """Make a function that does one step of Adam on one batch (NumPy: images of bytes [B, M, H, W, 3], labels [B])."""
    network, inputs, precision = _prepared(config, images, num_classes)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=config.pretrain.weight_decay)
    truth = torch.from_numpy(labels).long().to(inputs.device)
    forward = torch.compile(network) if compiled else network

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with precision():
            compared, logits = forward(inputs)
        smoothing, margin = config.loss.smoothing, config.loss.triplet_margin
        loss = sum(
            functional.cross_entropy(each.float(), truth, label_smoothing=smoothing) for each in logits
        )
        loss = loss + sum(batch_hard_triplet(each, truth, margin) for each in compared)
        loss.backward()
        optimizer.step()
        if inputs.is_cuda:
            torch.cuda.synchronize()

    return step


def make_extraction(config: Any, images: Any, *, num_classes: int) -> Callable[[], Any]:
    """Make a function that extracts the unit features of one batch into the host's memory."""
    network, inputs, precision = _prepared(config, images, num_classes)
    network.eval()

    @torch.no_grad()
    def extract() -> Any:
        with precision():
            compared, _ = network(inputs)
        return [functional.normalize(each.float()).cpu().numpy() for each in compared]

    return extract


def _prepared(config: Any, images: Any, num_classes: int) -> tuple[Network, Tensor, Callable[[], Any]]:
    """Build the network and place the images, both in channels_last; the third makes the context of the precision."""
    # The oracles of the tests compute on one thread and without oneDNN; a training run does not.
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.backends.mkldnn.set_flags(True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = Network(config.model, num_classes).to(device, memory_format=torch.channels_last).train()
    numbers = (images / np.float32(255) - np.float32(0.45)) / np.float32(0.225)
    inputs = torch.from_numpy(numbers).to(device).permute(0, 1, 4, 2, 3)  # the memory stays: channels last
    if config.model.dtype == "bfloat16":
        return network, inputs, lambda: torch.autocast(device, torch.bfloat16)
    return network, inputs, nullcontext
