"""Draw an overview of both domains: identities in rows, views in columns, the three modalities stacked."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data_pipelines.synthetic.domains import DOMAINS, DrawnDomain
from data_pipelines.synthetic.identities import KINDS, identity
from data_pipelines.synthetic.renderer import HEIGHT, WIDTH
from data_pipelines.synthetic.triples import cameras_of, images, shot

FAMILIES, VIEWS = 2, 5
GAP, MARGIN, HEADER = 6, 78, 34
INK, PAPER = (40, 40, 40), (250, 250, 248)


def write_preview(path: Path, *, seed: int) -> None:
    """Draw two families of three look-alikes per domain, five views each, to a PNG."""
    panels = [_panel(domain, seed) for domain in DOMAINS.values()]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(panels, axis=1)).save(path)


def _panel(domain: DrawnDomain, seed: int) -> np.ndarray:
    rows = _indices(domain, seed)
    block = 3 * HEIGHT
    sheet = Image.new(
        "RGB", (MARGIN + VIEWS * (WIDTH + GAP) + GAP, HEADER + len(rows) * (block + GAP) + GAP), PAPER
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    draw.text((MARGIN, 8), f"{domain.name}-like", INK, ImageFont.load_default(19))
    for row, index in enumerate(rows):
        top = HEADER + row * (block + GAP)
        pid = domain.first_pid + index
        kind = KINDS[identity(domain.name, seed, index).body.kind]
        draw.text((8, top + 4), f"{pid:04d}\n{kind}", INK, font)
        for band, label in enumerate(("RGB", "NIR", "TIR")):
            draw.text((8, top + band * HEIGHT + HEIGHT // 2 - 8), label, INK, font)
        cameras = cameras_of(domain, seed, index, VIEWS)
        triples = images([shot(domain, seed, index, i, camera) for i, camera in enumerate(cameras)])
        for column, triple in enumerate(triples):
            stack = Image.fromarray(np.concatenate(list(triple), axis=0))
            sheet.paste(stack, (MARGIN + column * (WIDTH + GAP), top))
    return np.asarray(sheet)


def _indices(domain: DrawnDomain, seed: int) -> list[int]:
    """Find the first families of different kinds, with all three members of each."""
    firsts: dict[int, int] = {}
    for index in range(0, 90, 3):
        firsts.setdefault(identity(domain.name, seed, index).body.kind, index)
    return [first + member for first in list(firsts.values())[:FAMILIES] for member in range(3)]
