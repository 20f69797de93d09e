"""Know the names that libraries give to arrays in files of weights.

A convention translates one of our paths, such as (layer1, block0, conv1, kernel), into a library's name or names. So
the names that a network needs are looked up in the file, and missing or further arrays can be named.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal, NamedTuple

from man_jax.networks.pretrained.array_places import LibraryPlace, Path
from man_jax.networks.pretrained.msinet_names import msinet
from man_jax.networks.pretrained.resnet_names import (
    huggingface_resnet,
    sequential_resnet,
    torchvision_resnet,
)
from man_jax.networks.pretrained.transformer_names import (
    huggingface_clip,
    huggingface_vit,
    openai_clip,
    timm_vit,
)

Family = Literal["resnet", "vit", "clip", "msinet"]


class Convention(NamedTuple):
    """One library's names for one family of networks."""

    title: str
    family: Family
    anchor: str
    """A name that every such file has, perhaps behind a prefix such as `module.`."""
    translate: Callable[[Path], LibraryPlace]
    unneeded: tuple[str, ...]
    """The beginnings of names of parts that only the library's network has, such as its classifier."""
    unless: str = ""
    """A name that only another network of the library has, not this one."""
    beside: tuple[str, ...] = ()
    """The beginnings of names of the library's other networks, which the file holds beside this one."""
    note: str = ""
    """What a user should know about weights with these names."""


WITHOUT_RELU = (
    "between bn1 and layer1 is one module, where we have ReLU and max-pooling; MMT, SpCL and cluster-contrast have no "
    "ReLU there, so our features are not quite theirs before training"
)
CLIP_TEXT = (
    "transformer.",
    "token_embedding.",
    "positional_embedding",
    "ln_final.",
    "text_projection",
    "logit_scale",
    "logit_bias",
    "attn_mask",
    "text.",
    "text_encoder.",
    "prompt_learner.",
    "input_resolution",
    "context_length",
    "vocab_size",
)
"""Names of the text half of CLIP, of OpenAI and open_clip, and of CLIP-ReID."""

CONVENTIONS = (
    Convention("torchvision or timm", "resnet", "layer1.0.conv1.weight", torchvision_resnet, ("fc.",)),
    Convention(
        "Hugging Face",
        "resnet",
        "embedder.embedder.convolution.weight",
        huggingface_resnet,
        ("classifier.",),
    ),
    Convention(
        "positions in an nn.Sequential",
        "resnet",
        "4.0.conv1.weight",
        partial(sequential_resnet, first_stage=4),
        ("9.",),
        unless="3.0.conv1.weight",
    ),
    Convention(
        "positions in an nn.Sequential without ReLU",
        "resnet",
        "3.0.conv1.weight",
        partial(sequential_resnet, first_stage=3),
        (),
        unless="2.0.conv1.weight",
        note=WITHOUT_RELU,
    ),
    Convention(
        "timm", "vit", "patch_embed.proj.weight", timm_vit, ("head.", "pre_logits."), unless="norm_pre.weight"
    ),
    Convention(
        "Hugging Face",
        "vit",
        "embeddings.patch_embeddings.projection.weight",
        huggingface_vit,
        ("pooler.", "classifier."),
    ),
    Convention(
        "Hugging Face",
        "clip",
        "vision_model.pre_layrnorm.weight",
        huggingface_clip,
        (
            "text_model.",
            "text_projection.",
            "visual_projection.",
            "logit_scale",
            "vision_model.embeddings.position_ids",
        ),
    ),
    Convention("OpenAI", "clip", "ln_pre.weight", openai_clip, ("proj",), beside=CLIP_TEXT),
    Convention("timm", "clip", "norm_pre.weight", timm_vit, ("head.",)),
    Convention(
        "MSINet's code",
        "msinet",
        "cells.0.conv1a.conv.weight",
        msinet,
        ("fc.", "head.", "classifier.", "f_conv.", "f_fc.", "f_head.", "f_classifier.", "align_module."),
    ),
)


def detect(names: Iterable[str]) -> list[tuple[Convention, str]]:
    """Find every (convention, prefix) that the names of a file fit."""
    names = set(names)
    return [
        (convention, prefix)
        for name in sorted(names)
        for convention in CONVENTIONS
        if name == convention.anchor or name.endswith(f".{convention.anchor}")
        for prefix in [name.removesuffix(convention.anchor)]
        if not convention.unless or prefix + convention.unless not in names
    ]
