"""The networks as their own libraries write them, for PyTorch, with those libraries' key names.

torchvision and timm cannot be installed with every PyTorch, so their modules are written out here.
"""

import torch
from torch import Tensor, nn

torch.set_num_threads(1)  # more of them and XLA's would wait for one another


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inplanes: int, planes: int, stride: int, downsample: nn.Module | None):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * 4)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inplanes: int, planes: int, stride: int, downsample: nn.Module | None):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class TorchvisionResNet(nn.Module):
    """`torchvision.models.resnet`; `last_stride` is the stride of layer4, which torchvision has at 2."""

    def __init__(self, block: type, layers, *, width: int = 64, last_stride: int = 2, num_classes: int = 10):
        super().__init__()
        self.inplanes = width
        self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        strides = (1, 2, 2, last_stride)
        self.stages = [f"layer{i + 1}" for i in range(len(layers))]
        for i, name in enumerate(self.stages):
            self.add_module(name, self._stage(block, width * 2**i, layers[i], strides[i]))
        self.fc = nn.Linear(self.inplanes, num_classes)

    def _stage(self, block: type, planes: int, num_blocks: int, stride: int) -> nn.Sequential:
        out = planes * block.expansion
        downsample = None
        if stride != 1 or self.inplanes != out:
            downsample = nn.Sequential(
                nn.Conv2d(self.inplanes, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )
        blocks = [block(self.inplanes, planes, stride, downsample)]
        blocks += [block(out, planes, 1, None) for _ in range(num_blocks - 1)]
        self.inplanes = out
        return nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, D], without the classifier."""
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for name in self.stages:
            x = getattr(self, name)(x)
        return x.mean((2, 3))


def stir(network: nn.Module, *, seed: int = 0) -> nn.Module:
    """Random weights under which no norm, bias or token is without effect, and running moments to match."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor: Tensor, low: float, high: float) -> None:
        tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    with torch.no_grad():
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            if name.endswith("running_var"):
                uniform(tensor, 0.5, 1.5)
            elif not tensor.is_floating_point():
                continue
            elif tensor.ndim > 1:
                fan_in = tensor[0].numel() if tensor.ndim in (2, 4) else 1
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * fan_in**-0.5)
            elif name.endswith("weight"):
                uniform(tensor, 0.5, 1.0)
            else:
                uniform(tensor, -0.5, 0.5)
    return network.eval()
