"""Give the names that other libraries have for the arrays of a ViT and of CLIP's visual encoder."""

from collections.abc import Mapping

from man_jax.networks.pretrained.array_places import LEAVES, LibraryPlace, Path, module_place

Names = Mapping[str, str | tuple[str, ...]]
"""The name of their module for each of ours, or three names for q, k and v."""


def timm_vit(path: Path) -> LibraryPlace:
    """Give the name as `blocks.0.attn.qkv.weight`; CLIP's encoder has `norm_pre` too, and its projection is `head`.

    timm's head has a bias, which for OpenAI's projection is zero (`_convert_openai_clip` in its vision_transformer.py).
    """
    names = {
        "class_token": "cls_token",
        "position": "pos_embed",
        "patch": "patch_embed.proj",
        "pre_norm": "norm_pre",
        "block": "blocks",
        "norm1": "norm1",
        "qkv": "attn.qkv",
        "out": "attn.proj",
        "norm2": "norm2",
        "fc1": "mlp.fc1",
        "fc2": "mlp.fc2",
        "norm": "norm",
        "projection": "head",
    }
    place = _transformer(path, names, leading=True)
    return place._replace(zero_bias="head.bias") if path == ("projection", "kernel") else place


def huggingface_vit(path: Path) -> LibraryPlace:
    """Give the name as `encoder.layer.0.attention.attention.query.weight`."""
    names = {
        "class_token": "embeddings.cls_token",
        "position": "embeddings.position_embeddings",
        "patch": "embeddings.patch_embeddings.projection",
        "block": "encoder.layer",
        "norm1": "layernorm_before",
        "qkv": tuple(f"attention.attention.{name}" for name in ("query", "key", "value")),
        "out": "attention.output.dense",
        "norm2": "layernorm_after",
        "fc1": "intermediate.dense",
        "fc2": "output.dense",
        "norm": "layernorm",
        "projection": "projection",
    }
    return _transformer(path, names, leading=True)


def huggingface_clip(path: Path) -> LibraryPlace:
    """Give the name as `vision_model.encoder.layers.0.self_attn.q_proj.weight`; `pre_layrnorm` is spelt so there."""
    names = {
        "class_token": "vision_model.embeddings.class_embedding",
        "position": "vision_model.embeddings.position_embedding.weight",
        "patch": "vision_model.embeddings.patch_embedding",
        "pre_norm": "vision_model.pre_layrnorm",
        "block": "vision_model.encoder.layers",
        "norm1": "layer_norm1",
        "qkv": tuple(f"self_attn.{name}_proj" for name in "qkv"),
        "out": "self_attn.out_proj",
        "norm2": "layer_norm2",
        "fc1": "mlp.fc1",
        "fc2": "mlp.fc2",
        "norm": "vision_model.post_layernorm",
        "projection": "visual_projection",
    }
    return _transformer(path, names, leading=False)


def openai_clip(path: Path) -> LibraryPlace:
    """Give the name as `transformer.resblocks.0.attn.in_proj_weight`; `proj` is applied from the right, as ours is."""
    if path == ("projection", "kernel"):
        return LibraryPlace(("proj",))
    names = {
        "class_token": "class_embedding",
        "position": "positional_embedding",
        "patch": "conv1",
        "pre_norm": "ln_pre",
        "block": "transformer.resblocks",
        "norm1": "ln_1",
        "qkv": "attn.in_proj",
        "out": "attn.out_proj",
        "norm2": "ln_2",
        "fc1": "mlp.c_fc",
        "fc2": "mlp.c_proj",
        "norm": "ln_post",
    }
    place = _transformer(path, names, leading=False)
    # Parameters of PyTorch's attention itself, not of a module in it.
    return place._replace(names=tuple(name.replace("in_proj.", "in_proj_") for name in place.names))


def _transformer(path: Path, names: Names, *, leading: bool) -> LibraryPlace:
    """Give the name of an array of a transformer; `leading`: the tokens have axes of length 1 before ours."""
    *modules, leaf = path
    if not modules:
        name = str(names[leaf])
        if leaf == "position":
            return LibraryPlace((name,), "positions", leading=1 if leading else 0)
        return LibraryPlace((name,), leading=2 if leading else 0)
    if len(modules) == 1:
        return module_place(str(names[modules[0]]), leaf, convolution=modules[0] == "patch")
    block, module = modules
    place, inner = f"{names['block']}.{block.removeprefix('block')}", names[module]
    parts = (inner,) if isinstance(inner, str) else inner
    return LibraryPlace(
        tuple(f"{place}.{part}.{LEAVES[leaf]}" for part in parts), module_place("", leaf).layout
    )
