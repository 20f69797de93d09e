"""The networks as their own libraries write them, for PyTorch, with those libraries' key names.

torchvision and timm cannot be installed with every PyTorch, so their modules are written out here.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

torch.set_num_threads(1)  # more of them and XLA's would wait for one another
# PyTorch 2.13's oneDNN damages the heap on processors with AVX2 and without AVX-512, when convolutions have few
# channels; the process aborts later, in whatever uses the memory next.
torch.backends.mkldnn.set_flags(False)


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


class TimmAttention(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, count, dim = x.shape
        qkv = self.qkv(x).reshape(batch, count, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        attention = (q * (dim // self.heads) ** -0.5) @ k.transpose(-2, -1)
        return self.proj((attention.softmax(dim=-1) @ v).transpose(1, 2).reshape(batch, count, dim))


class TimmBlock(nn.Module):
    def __init__(self, dim: int, heads: int, *, eps: float = 1e-6, act: type[nn.Module] = nn.GELU):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = TimmAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        hidden = {"fc1": nn.Linear(dim, 4 * dim), "act": act(), "fc2": nn.Linear(4 * dim, dim)}
        self.mlp = nn.Sequential(OrderedDict(hidden))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class TimmViT(nn.Module):
    """`timm.models.vision_transformer` with the class token as feature; `grid` is that of its positions."""

    def __init__(
        self, *, dim: int, depth: int, heads: int, grid: tuple[int, int] = (14, 14), stride: int = 16
    ):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid[0] * grid[1], dim))
        self.patch_embed = nn.Sequential(OrderedDict(proj=nn.Conv2d(3, dim, 16, stride)))
        self.blocks = nn.Sequential(*(TimmBlock(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, D], without the classifier."""
        patches = self.patch_embed(x)
        tokens = patches.flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], dim=1)
        return self.norm(self.blocks(x + positions_for(self.pos_embed[0], patches.shape[2:])))[:, 0]


class TimmClip(nn.Module):
    """timm's `vit_base_patch16_clip_quickgelu_224`; for other CLIPs `act` is GELU. The projection is its head."""

    def __init__(
        self, *, dim: int, depth: int, heads: int, projection: int, act: type[nn.Module] | None = None
    ):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 197, dim))
        self.patch_embed = nn.Sequential(OrderedDict(proj=nn.Conv2d(3, dim, 16, 16, bias=False)))
        self.norm_pre = nn.LayerNorm(dim, eps=1e-5)
        blocks = (TimmBlock(dim, heads, eps=1e-5, act=act or QuickGELU) for _ in range(depth))
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(dim, eps=1e-5)
        self.head = nn.Linear(dim, projection)

    def forward(self, x: Tensor, *, project: bool = True) -> Tensor:
        """Features [B, projection], or [B, D] before the projection."""
        patches = self.patch_embed(x)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        x = self.norm_pre(x + positions_for(self.pos_embed[0], patches.shape[2:]))
        x = self.norm(self.blocks(x))[:, 0]
        return self.head(x) if project else x


class OpenAIBlock(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.attn = nn.MultiheadAttention(dim, heads)
        self.ln_1 = nn.LayerNorm(dim)
        hidden = {"c_fc": nn.Linear(dim, 4 * dim), "gelu": QuickGELU(), "c_proj": nn.Linear(4 * dim, dim)}
        self.mlp = nn.Sequential(OrderedDict(hidden))
        self.ln_2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class QuickGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class OpenAIVisual(nn.Module):
    """`VisionTransformer` of OpenAI's clip/model.py; sequences come first inside, as there."""

    def __init__(self, *, dim: int, depth: int, heads: int, projection: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, dim, 16, 16, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(dim))
        self.positional_embedding = nn.Parameter(torch.zeros(197, dim))
        self.ln_pre = nn.LayerNorm(dim)
        blocks = nn.Sequential(*(OpenAIBlock(dim, heads) for _ in range(depth)))
        self.transformer = nn.Sequential(OrderedDict(resblocks=blocks))
        self.ln_post = nn.LayerNorm(dim)
        self.proj = nn.Parameter(torch.zeros(dim, projection))

    def forward(self, x: Tensor, *, project: bool = True) -> Tensor:
        """Features [B, projection], or [B, D] before the projection."""
        patches = self.conv1(x)
        x = patches.flatten(2).permute(0, 2, 1)
        x = torch.cat([self.class_embedding + torch.zeros_like(x[:, :1]), x], dim=1)
        x = self.ln_pre(x + positions_for(self.positional_embedding, patches.shape[2:]))
        x = self.transformer(x.permute(1, 0, 2)).permute(1, 0, 2)
        x = self.ln_post(x[:, 0])
        return x @ self.proj if project else x


class OpenAIClip(nn.Module):
    """The names of a whole CLIP: the encoder under `visual`, and some of the text's."""

    def __init__(self, visual: OpenAIVisual):
        super().__init__()
        self.visual = visual
        self.transformer = nn.Sequential(OrderedDict(resblocks=nn.Sequential(OpenAIBlock(8, 2))))
        self.ln_final = nn.LayerNorm(8)
        self.logit_scale = nn.Parameter(torch.ones(()))


def positions_for(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Of a square grid, resampled to `grid` unless that is theirs already."""
    count = len(positions) - 1
    if count == grid[0] * grid[1]:
        return positions
    side = round(count**0.5)
    square = positions[1:].T.reshape(1, -1, side, side)
    moved = nn.functional.interpolate(square, size=tuple(grid), mode="bicubic", align_corners=False)
    return torch.cat([positions[:1], moved[0].flatten(1).T])
