"""The network of one matrix a modality once more, with parts: the stripes of an image are runs of its pixels."""

from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np

from man_jax.frame import ByDomain, FeatureTable, Frame, TrainState
from man_jax.networks.three_branch import Features, Outputs
from tests.methods.linear_model import PIXELS, SPACE, D, LinearModel, M, linear_frame, linear_state, passed
from tests.oracles.cases import unit_normal


class PartModel(LinearModel):
    """Part p's feature is that of the pixels p · PIXELS / P … alone, times P, so that the parts' mean is the whole."""

    def features_and_stripes(self, variables: Any, images: Any, *, train: bool, num_parts: int):
        params = variables["params"]
        outputs, moved = self(variables, images, train=train)
        each = zip(
            jnp.split(images, num_parts, axis=-1), jnp.split(params["matrix"], num_parts, axis=1), strict=True
        )
        stripes = [num_parts * jnp.einsum("bmp,mpd->mbd", image, matrix) for image, matrix in each]
        return outputs.features, jnp.stack(stripes), moved

    def outputs_from(self, variables: Any, features: Features, *, train: bool) -> tuple[Outputs, Any]:
        assert train
        heads = variables["params"]["heads"]
        logits = [features.normed @ heads["modal"]["kernel"]]
        fused = features.fused_normed @ heads["fused"]["kernel"]
        return Outputs(features, features.fused_normed, jnp.concatenate([*logits, fused[None]])), {}


def part_frame(**changes: Any) -> Frame:
    return linear_frame(**changes)._replace(model=PartModel())


def part_state(seed: int = 0) -> TrainState:
    """A state before adaptation, whose necks are no identity."""
    rng, state = np.random.default_rng(seed + 100), linear_state(seed)
    neck = {"scale": jnp.asarray(rng.uniform(0.5, 1.5, (M, D)))}
    moments = {"mean": jnp.asarray(rng.normal(size=(M, D))), "var": jnp.asarray(rng.uniform(0.5, 2, (M, D)))}
    statistics = ByDomain(
        *(
            each | {"branches": {"neck": {k: v + i for k, v in moments.items()}}}
            for i, each in enumerate(state.statistics)
        )
    )
    return state.replace(params=state.params | {"branches": {"neck": neck}}, statistics=statistics)


def part_table(seed: int, labels: np.ndarray, *, num_parts: int, noise: float = 0.02) -> FeatureTable:
    """Features in which each label is a cluster, in the whole and in each part."""
    rng = np.random.default_rng(seed)

    def drawn() -> np.ndarray:
        centres = unit_normal(rng, M, labels.max() + 1, D)[:, labels]
        return centres + noise * rng.normal(size=centres.shape)

    modal = drawn()
    modal /= np.linalg.norm(modal, axis=-1, keepdims=True)
    fused = np.concatenate(list(modal), axis=1) / np.sqrt(M)
    return FeatureTable(modal, fused, modal, np.stack([3.0 * drawn() for _ in range(num_parts)]))


def normed_rows(rows: np.ndarray, necks: Any, part: int, running: Any = None) -> SimpleNamespace:
    """Part features [M, B, D] after the neck of the part, by the batch's moments or the running ones, in NumPy."""
    place = slice(part * M * D, (part + 1) * M * D)
    flat = np.concatenate(list(rows), axis=1)
    mean, var = (
        (flat.mean(axis=0), flat.var(axis=0))
        if running is None
        else (np.asarray(running["mean"])[place], np.asarray(running["var"])[place])
    )
    normed = (flat - mean) / np.sqrt(var + 1e-5) * np.asarray(necks["scale"])[place]
    units = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in np.split(normed, M, axis=1)]
    return SimpleNamespace(pooled=flat, normed=normed, unit=np.concatenate(units, axis=1) / np.sqrt(M))


def passed_parts(params: Any, images: Any, *, num_parts: int) -> list[SimpleNamespace]:
    """The whole and then each part, as the training pass sees them, in NumPy."""
    images, matrix = np.asarray(images), np.asarray(params["network"]["matrix"])
    found = [passed(params["network"], images)]
    length = PIXELS // num_parts
    for part in range(num_parts):
        own = slice(part * length, (part + 1) * length)
        rows = np.stack([num_parts * images[:, m, own] @ matrix[m, own] for m in range(M)])
        found.append(normed_rows(rows, params["necks"], part))
    return found


__all__ = ["SPACE", "normed_rows", "part_frame", "part_state", "part_table", "passed_parts"]
