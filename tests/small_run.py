"""A work directory of a run as small as it can be, with weights that were never trained, and pictures to use it on."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from man_jax.configs import default
from man_jax.engine.optimizer import make_optimizer
from man_jax.runs.checkpoint import open_checkpoints, save_pretrained, save_state
from tests.engine.tiny import NUM_SOURCE, SIZES, new_state

BATCH = 8
QUERY = ("7_c1_0.png", "7_c1_1.png", "8_c1_0.png")
GALLERY = ("7_c2_0.png", "7_c2_1.png", "8_c2_0.png", "8_c2_1.png", "9_c2_0.png")


def write_run(base: Path, *, name: str = "run", seed: int = 0) -> Path:
    """`base/run`, with its pre-trained weights and others of step 5; its target is the set `base/mine`."""
    workdir = base / name
    workdir.mkdir()
    config = default.get_config()
    config.update_from_flattened_dict(SIZES)
    config.data.target.update(name="folder", root=str(base / "mine"))
    config.data.prepared = str(base / "prepared")
    config.evaluation.batch_size = BATCH
    (workdir / "config.json").write_text(json.dumps(config.to_dict()))
    optimizer = make_optimizer("adam", lambda _: 0.1, weight_decay=0.0)
    save_pretrained(workdir, new_state(optimizer, seed=seed + 50), num_source=NUM_SOURCE)
    with open_checkpoints(workdir) as checkpoints:
        save_state(checkpoints, new_state(optimizer, seed=seed).replace(step=np.int32(5)))
    return workdir


def write_noise(path: Path, seed: int, size: tuple[int, int] = (40, 24)) -> None:
    """A picture of coloured noise; `size` = (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)


def write_triples(folder: Path, names: tuple[str, ...], *, seed: int, modalities: str = "RNT") -> Path:
    """`folder/R/name` and so on, each picture another one, and of another size."""
    for place, name in enumerate(names):
        for number, modality in enumerate(modalities):
            write_noise(
                folder / modality / name, seed + 10 * place + number, (30 + 3 * place, 20 + 5 * number)
            )
    return folder


def write_set(base: Path) -> Path:
    """`base/mine`, a query and a gallery that can be scored."""
    write_triples(base / "mine/query", QUERY, seed=0)
    write_triples(base / "mine/gallery", GALLERY, seed=1000)
    return base / "mine"
