"""The network's formulas in float64: convolution pixel by pixel, normalisation, a ResNet as torchvision has it."""

import numpy as np

from tests.oracles.geometry import Array

EPSILON = 1e-5


def convolution(x: Array, kernel: Array, stride: int) -> Array:
    """x [B, H, W, C], kernel [S, S, C, E]; (S − 1) / 2 zeros on every side."""
    size = kernel.shape[0]
    pad = (size - 1) // 2
    batch, height, width, channels = x.shape
    canvas = np.zeros((batch, height + 2 * pad, width + 2 * pad, channels))
    canvas[:, pad : pad + height, pad : pad + width] = x
    tall = (height + 2 * pad - size) // stride + 1
    wide = (width + 2 * pad - size) // stride + 1
    y = np.zeros((batch, tall, wide, kernel.shape[3]))
    for row, column in np.ndindex(tall, wide):
        for i, j in np.ndindex(size, size):
            y[:, row, column] += canvas[:, row * stride + i, column * stride + j] @ kernel[i, j]
    return y


def max_pool(x: Array) -> Array:
    """3×3, stride 2, one pixel of −∞ on every side."""
    batch, height, width, channels = x.shape
    y = np.zeros((batch, (height + 1) // 2, (width + 1) // 2, channels))
    for row, column in np.ndindex(*y.shape[1:3]):
        rows = slice(max(0, 2 * row - 1), 2 * row + 2)
        columns = slice(max(0, 2 * column - 1), 2 * column + 2)
        y[:, row, column] = x[:, rows, columns].max(axis=(1, 2))
    return y


def batch_moments(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each channel."""
    rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
    mean = np.asarray(sum(rows)) / len(rows)
    return mean, np.asarray(sum((row - mean) ** 2 for row in rows)) / len(rows)


def normalise(x: Array, mean: Array, variance: Array, scale: Array, bias: Array | float = 0.0) -> Array:
    return (x - mean) / np.sqrt(variance + EPSILON) * scale + bias


def resnet(
    params: dict, statistics: dict, images: Array, *, stage_sizes, last_stride: int, stem_relu: bool = True
) -> Array:
    """Features [B, D] in evaluation mode: stride in the 3×3 of a stage's first block."""

    def norm(x: Array, at: tuple[str, ...]) -> Array:
        weights, running = params, statistics
        for name in at:
            weights, running = weights[name], running[name]
        return normalise(x, running["mean"], running["var"], weights["scale"], weights["bias"])

    def block(x: Array, stage: str, name: str, stride: int) -> Array:
        kernels = params[stage][name]
        y = x
        for i, step in ((1, 1), (2, stride), (3, 1)):
            y = norm(convolution(y, kernels[f"conv{i}"]["kernel"], step), (stage, name, f"bn{i}"))
            y = np.maximum(y, 0) if i < 3 else y
        if "downsample_conv" in kernels:
            x = convolution(x, kernels["downsample_conv"]["kernel"], stride)
            x = norm(x, (stage, name, "downsample_bn"))
        return np.maximum(x + y, 0)

    x = norm(convolution(images, params["conv1"]["kernel"], 2), ("bn1",))
    x = max_pool(np.maximum(x, 0) if stem_relu else x)
    for i, num_blocks in enumerate(stage_sizes):
        stride = (1, 2, 2, last_stride)[i]
        for j in range(num_blocks):
            x = block(x, f"layer{i + 1}", f"block{j}", stride if j == 0 else 1)
    return x.mean(axis=(1, 2))
