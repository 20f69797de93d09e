"""The network: one branch for each modality, BNNecks, fusion by concatenation, and four hybrid heads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from man_jax.array_math import unit
from man_jax.networks.batch_norm import BatchNorm
from man_jax.networks.msinet import MSINet
from man_jax.networks.part_features import pool_stripes
from man_jax.networks.resnet import ResNet
from man_jax.networks.vit import ViT

Application = Literal["vmap", "loop", "scan"]
FusionNeck = Literal["shared", "own"]
Variables = dict[str, Any]
Backbone = ResNet | ViT | MSINet
BranchFeatures = tuple[Float[Array, "B D"], Float[Array, "B D"]]
"""(g, f) of one modality: before the neck, and after it."""

HEAD_SCALE = 1e-3
"""Standard deviation of a new head's weights, as is customary in ReID."""


class Features(NamedTuple):
    """The features of a batch from all branches. `pooled` is g, before the neck; `normed` is f, after it."""

    pooled: Float[Array, "M B D"]
    normed: Float[Array, "M B D"]

    @property
    def fused_pooled(self) -> Float[Array, "B F"]:
        """g_F = Cat(g_R, g_N, g_T)."""
        return concatenate_modalities(self.pooled)

    @property
    def fused_normed(self) -> Float[Array, "B F"]:
        """f_F = Cat(f_R, f_N, f_T) (Eq. 1)."""
        return concatenate_modalities(self.normed)

    @property
    def modal_unit(self) -> Float[Array, "M B D"]:
        """Unit(f_m), which clustering, prototypes, PDA, MMA and retrieval compare."""
        return unit(self.normed)

    @property
    def pooled_unit(self) -> Float[Array, "M B D"]:
        """Unit(g_m)."""
        return unit(self.pooled)

    @property
    def fused_unit(self) -> Float[Array, "B F"]:
        """Unit(Cat(Unit(f_R), Unit(f_N), Unit(f_T)))."""
        return unit(concatenate_modalities(self.modal_unit))


class Outputs(NamedTuple):
    """Features of a batch, f_F as its head reads it, and the logits of the heads in the order R, N, T, F."""

    features: Features
    fused_normed: Float[Array, "B F"]
    logits: Float[Array, "M+1 B L"]


def concatenate_modalities(x: Float[Array, "M B D"]) -> Float[Array, "B F"]:
    """Concatenate over the modalities: [M, B, D] → [B, M·D]."""
    return jnp.moveaxis(x, 0, 1).reshape(x.shape[1], -1)


def _neck(*, train: bool, name: str | None = None) -> BatchNorm:
    """Build a BNNeck (Luo et al., CVPRW 2019). Its bias is always zero, so it has none."""
    return BatchNorm(use_running_average=not train, use_bias=False, name=name)


class Branch(nn.Module):
    """Backbone and BNNeck of one modality: an image to (g, f)."""

    backbone: Backbone

    def __call__(self, images: Float[Array, "B H W 3"], *, train: bool) -> BranchFeatures:
        """Compute the features before and after the neck."""
        return self._norm(self.backbone(images, train=train), train=train)

    def maps(
        self, images: Float[Array, "B H W 3"], *, train: bool, last: int | None = None
    ) -> tuple[Float[Array, "B h w C"], ...]:
        """Compute the backbone's maps of the stages 0 … `last` (None: of all)."""
        return self.backbone.maps(images, train=train, last=last)

    def from_stage(self, maps: Float[Array, "B h w C"], *, stage: int, train: bool) -> BranchFeatures:
        """Compute the features before and after the neck from the maps of a stage."""
        return self._norm(self.backbone.from_stage(maps, stage=stage, train=train), train=train)

    def with_stripes(
        self, images: Float[Array, "B H W 3"], *, train: bool, num_parts: int
    ) -> tuple[BranchFeatures, Float[Array, "P B D"]]:
        """Compute the features before and after the neck, and the means of the last maps over P stripes."""
        maps = self.backbone.maps(images, train=train)[-1]
        pooled = self.backbone.from_stage(maps, stage=self.backbone.num_stages, train=train)
        return self._norm(pooled, train=train), pool_stripes(maps, num_stripes=num_parts)

    @nn.compact
    def _norm(self, pooled: Float[Array, "B D"], *, train: bool) -> BranchFeatures:
        return pooled, _neck(train=train, name="neck")(pooled)


def _apply_to_groups(
    apply: Callable, num_groups: int, variables: Variables, x: Float[Array, "B ..."]
) -> tuple[Any, Variables]:
    """Apply a branch to each of equal parts of a batch, and average the running statistics that they leave.

    All but normalisation treats each image by itself, so only the statistics tell this from the whole batch.
    """
    parts = x.reshape(num_groups, -1, *x.shape[1:])
    result, updated = jax.vmap(apply, in_axes=(None, 0))(variables, parts)

    def joined(leaf):
        # Maps are [G, b, h, w, C], features [G, b, D], and those of stripes [G, P, b, D].
        rows = leaf if leaf.ndim == 5 else jnp.moveaxis(leaf, -2, 1)
        rows = rows.reshape(-1, *rows.shape[2:])
        return rows if leaf.ndim == 5 else jnp.moveaxis(rows, 0, -2)

    return jax.tree.map(joined, result), jax.tree.map(lambda leaf: leaf.mean(axis=0), updated)


def with_backbone(variables: Variables, backbone: Variables, *, part: str = "backbone") -> Variables:
    """Put {params, batch_stats} `backbone` into every branch of a network's variables.

    Its leaves may have the modality axis, and then each branch gets its own. `part`: what of a branch is replaced,
    its backbone or its neck.
    """

    def replaced(name: str) -> Variables:
        collection = variables[name]
        if name not in backbone:
            return collection
        branches = collection["branches"]
        every = jax.tree.map(
            lambda new, old: jnp.broadcast_to(jnp.asarray(new, old.dtype), old.shape),
            backbone[name],
            branches[part],
        )
        return {**collection, "branches": {**branches, part: every}}

    return {name: replaced(name) for name in variables}


def backbone_of(variables: Variables, modality: int) -> Variables:
    """Take the backbone {params, batch_stats} of one modality, without the modality axis."""
    branches = {name: variables[name]["branches"] for name in ("params", "batch_stats")}
    return {
        name: jax.tree.map(lambda leaf: leaf[modality], branch["backbone"])
        for name, branch in branches.items()
        if "backbone" in branch
    }


def only_branches(variables: Variables, kept: Sequence[int]) -> Variables:
    """Keep the variables of some branches, by their place, without the heads: enough for `ThreeBranch.features`."""
    places = list(kept)
    branches = {name: variables[name]["branches"] for name in ("params", "batch_stats")}
    return {
        name: {"branches": jax.tree.map(lambda leaf: leaf[jnp.asarray(places)], tree)}
        for name, tree in branches.items()
    }


@dataclass(frozen=True)
class ThreeBranch:
    """Independent branches with their parameters stacked along a leading modality axis, and the heads.

    Only this class chooses how the stacked branches are applied. `vmap` runs them as one (fast on a CPU, half the
    compile time). `loop` runs one after the other (for GPU and TPU, where a vmapped convolution is a grouped one).
    `scan` runs them as a loop of the program, which holds the activations of one branch at a time and computes them
    once more in the backward pass.
    """

    branch: Branch
    num_classes: int
    num_modalities: int = 3
    """The number of modalities, M; each has one branch."""
    application: Application = "loop"
    fusion_neck: FusionNeck = "shared"
    """`shared`: f_F = Cat(f_R, f_N, f_T) | `own`: a BNNeck of its own on g_F."""
    norm_groups: int = 1
    """Parts of a batch, next to one another, whose branches are normalised by statistics of their own in training."""

    @property
    def dim(self) -> int:
        """Length D of one modality's feature."""
        return self.branch.backbone.dim

    def init(self, key: PRNGKeyArray, image_size: tuple[int, int]) -> Variables:
        """Draw new variables {params: {branches, heads}, batch_stats: {branches}} for images of (H, W)."""
        *branch_keys, modal_key, fused_key = jax.random.split(key, self.num_modalities + 2)
        image = jnp.zeros((1, *image_size, 3))
        branches = jax.vmap(lambda k: self.branch.init(k, image, train=False))(jnp.stack(branch_keys))
        modal = jax.random.normal(modal_key, (self.num_modalities, self.dim, self.num_classes))
        fused = jax.random.normal(fused_key, (self.num_modalities * self.dim, self.num_classes))
        heads = {"modal": {"kernel": HEAD_SCALE * modal}, "fused": {"kernel": HEAD_SCALE * fused}}
        variables = {
            "params": {"branches": branches["params"], "heads": heads},
            "batch_stats": {"branches": branches["batch_stats"]},
        }
        if self.fusion_neck == "own":
            neck = _neck(train=False).init(fused_key, jnp.zeros((1, self.num_modalities * self.dim)))
            for name, collection in variables.items():
                collection["fusion_neck"] = neck[name]
        return variables

    def features(
        self, variables: Variables, images: Float[Array, "B M H W 3"], *, train: bool
    ) -> tuple[Features, Variables]:
        """Compute the features of normalised images, and the batch statistics, updated if `train`."""
        (pooled, normed), batch_stats = self._apply_branches(
            Branch.__call__, variables, jnp.moveaxis(images, 1, 0), train=train
        )
        return Features(pooled, normed), batch_stats

    def features_and_stripes(
        self, variables: Variables, images: Float[Array, "B M H W 3"], *, train: bool, num_parts: int
    ) -> tuple[Features, Float[Array, "P M B D"], Variables]:
        """Compute, in one pass, the features, the means of the last maps over P stripes, and the batch statistics.

        Raises:
            ValueError: the maps have fewer rows than there are parts, or the backbone gives no maps.
        """
        ((pooled, normed), stripes), batch_stats = self._apply_branches(
            Branch.with_stripes, variables, jnp.moveaxis(images, 1, 0), train=train, num_parts=num_parts
        )
        return Features(pooled, normed), jnp.moveaxis(stripes, 1, 0), batch_stats

    def maps(
        self, variables: Variables, images: Float[Array, "B M H W 3"], *, train: bool, last: int | None = None
    ) -> tuple[tuple[Float[Array, "M B h w C"], ...], Variables]:
        """Compute the maps of the stages 0 … `last` (None: of all), and the batch statistics, updated if `train`.

        Stage 0 is the stem. `maps` moves the statistics of these stages only, and `features_from` those of the later
        stages. So `maps` up to a stage, then `features_from` that stage with the new statistics, equals `features`.

        Raises:
            ValueError: the backbone has no such stage, or none at all.
        """
        return self._apply_branches(
            Branch.maps, variables, jnp.moveaxis(images, 1, 0), train=train, last=last
        )

    def features_from(
        self, variables: Variables, maps: Float[Array, "M B h w C"], *, stage: int, train: bool
    ) -> tuple[Features, Variables]:
        """Compute the features from the maps of a stage, and the batch statistics, updated if `train`.

        Raises:
            ValueError: the backbone has no such stage, or none at all.
        """
        (pooled, normed), batch_stats = self._apply_branches(
            Branch.from_stage, variables, maps, stage=stage, train=train
        )
        return Features(pooled, normed), batch_stats

    def _apply_branches(
        self, method: Callable, variables: Variables, x: Float[Array, "M B ..."], **keywords: Any
    ) -> tuple[Any, Variables]:
        """Apply a method of every branch to its part of `x`; give the results and the batch statistics afterwards."""
        stacked = {name: variables[name]["branches"] for name in ("params", "batch_stats")}

        def alone(variables, x):
            return self.branch.apply(variables, x, **keywords, method=method, mutable=["batch_stats"])

        grouped = keywords["train"] and self.norm_groups > 1
        apply = partial(_apply_to_groups, alone, self.norm_groups) if grouped else alone
        if self.application == "vmap":
            result, updated = jax.vmap(apply)(stacked, x)
        elif self.application == "scan":
            recomputed = jax.checkpoint(apply, prevent_cse=False)  # nothing can be merged across a loop
            _, (result, updated) = jax.lax.scan(
                lambda carry, branch: (carry, recomputed(*branch)), None, (stacked, x)
            )
        else:
            one_by_one = [
                apply(jax.tree.map(lambda leaf, m=m: leaf[m], stacked), x[m])
                for m in range(self.num_modalities)
            ]
            result, updated = jax.tree.map(lambda *leaves: jnp.stack(leaves), *one_by_one)
        return result, {"branches": updated["batch_stats"]}

    def __call__(
        self, variables: Variables, images: Float[Array, "B M H W 3"], *, train: bool
    ) -> tuple[Outputs, Variables]:
        """Compute features and logits of normalised images, and the batch statistics, updated if `train`."""
        features, of_branches = self.features(variables, images, train=train)
        outputs, of_fusion = self.outputs_from(variables, features, train=train)
        return outputs, of_branches | of_fusion

    def outputs_from(
        self, variables: Variables, features: Features, *, train: bool
    ) -> tuple[Outputs, Variables]:
        """Compute the logits of features, and the batch statistics of the neck of the fusion, if it has its own."""
        heads = variables["params"]["heads"]
        fused_normed, batch_stats = features.fused_normed, {}
        if self.fusion_neck == "own":
            own = {name: variables[name]["fusion_neck"] for name in ("params", "batch_stats")}
            neck = _neck(train=train)
            fused_normed, updated = neck.apply(own, features.fused_pooled, mutable=["batch_stats"])
            batch_stats["fusion_neck"] = updated["batch_stats"]
        modal = features.normed @ heads["modal"]["kernel"]
        fused = fused_normed @ heads["fused"]["kernel"]
        return Outputs(features, fused_normed, jnp.concatenate([modal, fused[None]])), batch_stats
