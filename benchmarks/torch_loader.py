"""Data sets of triples for PyTorch's DataLoader, augmented in its workers as ReID codes in PyTorch do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from data_pipelines.storing.images import resized

MEAN, STD = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
FLIP, PAD, ERASE, AREA, ASPECT = 0.5, 10, 0.5, (0.02, 1 / 3), (0.3, 1 / 0.3)
"""The defaults of our augmentation."""


class Files:
    """Triples as the files of their images, which are decoded and resized at each read."""

    def __init__(self, triples: Sequence[Sequence[Path]], image_size: tuple[int, int]):
        self.triples, self.image_size = triples, image_size

    def __getitem__(self, index: int) -> np.ndarray:
        images = []
        for path in self.triples[index]:
            with Image.open(path) as image:
                images.append(resized(image.convert("RGB"), self.image_size))
        return np.stack(images)


class Augmented(Dataset):
    """Triples [M, 3, H, W], flipped, cropped, normalised and erased, of anything that gives bytes [M, H, W, 3]."""

    def __init__(self, triples: Any):
        self.triples = triples

    def __getitem__(self, index: int) -> torch.Tensor:
        images = torch.from_numpy(
            np.array(self.triples[index])
        )  # a copy: what a split gives must not be written to
        _, height, width, _ = images.shape
        if torch.rand(()) < FLIP:
            images = images.flip(2)
        padded = torch.nn.functional.pad(images, (0, 0, PAD, PAD, PAD, PAD))
        top, left = torch.randint(0, 2 * PAD + 1, (2,)).tolist()
        cut = padded[:, top : top + height, left : left + width]
        view = ((cut.float() / 255 - MEAN) / STD).permute(0, 3, 1, 2).contiguous()
        for image in view:
            if torch.rand(()) < ERASE:
                _erase(image)
        return view


def _erase(image: torch.Tensor) -> None:
    """Set a rectangle of an image [3, H, W] to the mean."""
    height, width = image.shape[1:]
    area = height * width * torch.empty(()).uniform_(*AREA).item()
    aspect = torch.empty(()).uniform_(*ASPECT).item()
    tall, wide = min(round((area * aspect) ** 0.5), height), min(round((area / aspect) ** 0.5), width)
    top, left = (int(torch.randint(0, room + 1, ())) for room in (height - tall, width - wide))
    image[:, top : top + tall, left : left + wide] = 0


def make_loader(triples: Any, plan: np.ndarray, *, workers: int) -> DataLoader:
    """Make a loader of the batches of a plan [T, B]; its processes stay between epochs."""
    return DataLoader(
        Augmented(triples),
        batch_sampler=plan.tolist(),
        num_workers=workers,
        persistent_workers=True,
        multiprocessing_context="forkserver",  # a process with JAX's threads must not be forked
    )
