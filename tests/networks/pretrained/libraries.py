"""The libraries' networks of a given shape, for PyTorch, under random weights."""

import torch
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    ResNetConfig,
    ResNetModel,
    ViTConfig,
    ViTModel,
)

from man_jax.networks.resnet import EXPANSION
from tests.oracles.torch_networks import (
    BasicBlock,
    Bottleneck,
    OpenAIVisual,
    TimmClip,
    TimmViT,
    TorchvisionResNet,
    stir,
)

BLOCKS = {"bottleneck": Bottleneck, "basic": BasicBlock}
PROJECTION = 16


def torchvision(block: str, stage_sizes, *, width: int, last_stride: int = 1) -> TorchvisionResNet:
    return stir(TorchvisionResNet(BLOCKS[block], stage_sizes, width=width, last_stride=last_stride))


def huggingface_resnet(block: str, stage_sizes, *, width: int) -> ResNetModel:
    """Its last stage has stride 2, and no key to change that."""
    config = ResNetConfig(
        embedding_size=width,
        hidden_sizes=[width * 2**i * EXPANSION[block] for i in range(len(stage_sizes))],
        depths=list(stage_sizes),
        layer_type=block,
    )
    return stir(ResNetModel(config))


def timm_vit(*, width: int, depth: int, heads: int, **keywords) -> TimmViT:
    return stir(TimmViT(dim=width, depth=depth, heads=heads, **keywords))


def openai_clip(*, width: int, depth: int, heads: int, projection: int = PROJECTION) -> OpenAIVisual:
    return stir(OpenAIVisual(dim=width, depth=depth, heads=heads, projection=projection))


def timm_clip(*, width: int, depth: int, heads: int, projection: int = PROJECTION, **keywords) -> TimmClip:
    """The bias of its head is zero, as timm sets it."""
    network = stir(TimmClip(dim=width, depth=depth, heads=heads, projection=projection, **keywords))
    torch.nn.init.zeros_(network.head.bias)
    return network


def huggingface_vit(**shape) -> ViTModel:
    return stir(ViTModel(ViTConfig(**_sizes(**shape)), add_pooling_layer=False))


def huggingface_clip(*, projection: int = PROJECTION, **shape) -> CLIPVisionModelWithProjection:
    config = CLIPVisionConfig(**_sizes(**shape), patch_size=16, projection_dim=projection)
    return stir(CLIPVisionModelWithProjection(config))


def _sizes(*, width: int, depth: int, heads: int) -> dict[str, int]:
    """As transformers calls them."""
    return {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
    }
