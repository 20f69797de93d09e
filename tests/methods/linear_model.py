"""A network of one matrix a modality, for what a method does with a network's outputs."""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from man_jax.frame import Batch, ByDomain, Frame, LabelSpace, TrainState
from man_jax.networks.three_branch import Features, Outputs
from tests.engine.tiny import new_frame

M, D, PIXELS = 2, 3, 12
SPACE = LabelSpace(num_source=3, capacity=4)
NUM_TRIPLES = 12


class LinearModel:
    """Features are the images times a matrix; the running statistics count the passes."""

    num_modalities, dim, num_classes = M, D, SPACE.num_classes

    def __call__(self, variables: Any, images: Any, *, train: bool) -> tuple[Outputs, Any]:
        assert train
        params, passes = variables["params"], variables["batch_stats"]["passes"]
        pooled = jnp.einsum("bmp,mpd->mbd", images, params["matrix"])
        features = Features(pooled, pooled * params["scale"])
        heads = params["heads"]
        modal = features.normed @ heads["modal"]["kernel"]
        fused = features.fused_normed @ heads["fused"]["kernel"]
        logits = jnp.concatenate([modal, fused[None]])
        return Outputs(features, features.fused_normed, logits), {"passes": passes + 1}


def linear_frame(**changes: Any) -> Frame:
    """A frame whose views of images are the images, shifted by a number of the view's key."""
    frame = new_frame(**changes)

    def view(key, images):
        return seen(images, key)

    return frame._replace(
        model=LinearModel(), space=SPACE, num_triples=ByDomain(NUM_TRIPLES, NUM_TRIPLES), view=view
    )


def seen(images: Any, key: Any) -> Any:
    """The view of a batch of images under a key."""
    return jnp.asarray(images) / 255.0 + 0.1 * jax.random.uniform(key)


def linear_state(seed: int = 0) -> TrainState:
    """A state before adaptation."""
    rng = np.random.default_rng(seed)
    params = {
        "matrix": jnp.asarray(rng.normal(size=(M, PIXELS, D))),
        "scale": jnp.float32(2.0),
        "heads": {
            "modal": {"kernel": jnp.asarray(rng.normal(size=(M, D, SPACE.num_classes)))},
            "fused": {"kernel": jnp.asarray(rng.normal(size=(M * D, SPACE.num_classes)))},
        },
    }
    statistics = ByDomain({"passes": jnp.int32(0)}, {"passes": jnp.int32(0)})
    return TrainState(
        step=jnp.int32(0), params=params, statistics=statistics, opt_state=(), key=jnp.zeros(())
    )


def linear_batch(seed: int, labels: list[int], *, weight: list[float] | None = None) -> Batch:
    rng = np.random.default_rng(seed)
    number = len(labels)
    return Batch(
        images=rng.integers(0, 256, (number, M, PIXELS), np.uint8),
        index=np.arange(number, dtype=np.int32),
        camera=np.zeros(number, np.int32),
        labels=np.asarray(labels, np.int32)[:, None],
        weight=np.ones(number, np.float32) if weight is None else np.asarray(weight, np.float32),
        present=np.ones((number, M), bool),
    )


def passed(params: Any, images: Any) -> SimpleNamespace:
    """The network once more, in NumPy: pooled and unit features of the fusion [B, M·D], and its logits [B, C]."""
    kernel = params["heads"]["fused"]["kernel"]
    pooled = np.stack([np.asarray(images)[:, m] @ np.asarray(params["matrix"][m]) for m in range(M)])
    normed = pooled * float(params["scale"])
    unit = normed / np.linalg.norm(normed, axis=-1, keepdims=True)
    return SimpleNamespace(
        pooled=np.concatenate(list(pooled), axis=1),
        unit=np.concatenate(list(unit), axis=1) / np.sqrt(M),
        logits=np.concatenate(list(normed), axis=1) @ np.asarray(kernel),
    )
