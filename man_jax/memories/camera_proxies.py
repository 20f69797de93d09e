"""Camera proxies: a memory with one centre for each cluster in each camera.

Source: Wang et al., "Offline-online associated camera-aware proxies for unsupervised person re-identification",
TIP 2022.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32

from man_jax.memories.centres import cluster_centres

NONE = -1
"""The number of a proxy, or of a proxy's cluster, where there is none."""


class CameraProxies(NamedTuple):
    """The proxies of an epoch. There is room for P, and an epoch may have fewer."""

    centres: Float[Array, "P F"]
    """Of unit length; zero where there is no proxy."""
    cluster: Int32[Array, " P"]
    """−1: there is no proxy."""
    camera: Int32[Array, " P"]

    @property
    def exists(self) -> Bool[Array, " P"]:
        """Mark the proxies that the epoch has."""
        return self.cluster >= 0


def number_proxies(
    clusters: Int[np.ndarray, " N"], cameras: Int[np.ndarray, " N"]
) -> Int32[np.ndarray, " N"]:
    """Number the proxies of N triples: every pair of a cluster and a camera that has a triple, in order of pairs.

    A triple in no cluster (−1) has no proxy, −1. A camera that is not known (−1) is a camera like any other.
    """
    numbers = np.full(len(clusters), NONE, np.int32)
    inside = clusters >= 0
    pairs = np.stack([clusters[inside], cameras[inside]], axis=1)
    numbers[inside] = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    return numbers


def proxy_capacity(num_clusters: int, cameras: Int[np.ndarray, " N"]) -> int:
    """Give the largest number of proxies: every cluster in every camera, but not more than there are triples."""
    return max(1, min(len(cameras), num_clusters * len(np.unique(cameras))))


def empty_proxies(*, capacity: int, dim: int) -> CameraProxies:
    """Create a memory in which there is no proxy yet."""
    none = jnp.full(capacity, NONE, jnp.int32)
    return CameraProxies(jnp.zeros((capacity, dim)), none, none)


def make_proxies(
    features: Float[np.ndarray, "N F"],
    clusters: Int[np.ndarray, " N"],
    cameras: Int[np.ndarray, " N"],
    *,
    capacity: int,
) -> CameraProxies:
    """Average the features of each cluster in each camera, to unit length.

        m_p = Unit(mean of f_j, j in the cluster and the camera of p)

    Raises:
        ValueError: there are more proxies than the capacity.

    Differs from the source: nothing.
    """
    numbers = number_proxies(clusters, cameras)
    if numbers.max(initial=NONE) >= capacity:
        raise ValueError(f"{numbers.max() + 1} proxies, but there is room for {capacity}; raise the capacity")
    centres, _ = cluster_centres(jnp.asarray(features), jnp.asarray(numbers), num_classes=capacity)
    inside = numbers >= 0
    cluster, camera = (np.full(capacity, NONE, np.int32) for _ in range(2))
    cluster[numbers[inside]], camera[numbers[inside]] = clusters[inside], cameras[inside]
    return CameraProxies(centres, jnp.asarray(cluster), jnp.asarray(camera))


def find_proxies(
    proxies: CameraProxies, clusters: Int[Array, " B"], cameras: Int[Array, " B"]
) -> Int32[Array, " B"]:
    """Find the number of each row's proxy; −1 where its cluster has none in its camera."""
    same_cluster = proxies.cluster[None, :] == clusters[:, None]
    same_camera = proxies.camera[None, :] == cameras[:, None]
    own = same_cluster & same_camera & proxies.exists[None, :]
    return jnp.where(own.any(axis=1), jnp.argmax(own, axis=1), NONE).astype(jnp.int32)
