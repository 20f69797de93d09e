"""Write a domain to disk: whole or not at all, and never over something else."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import repeat
from pathlib import Path

from data_pipelines.reading.records import DataError
from data_pipelines.session.compilation import compiling
from data_pipelines.session.disk import writing
from data_pipelines.session.progress import track
from data_pipelines.synthetic.domains import DrawnDomain
from data_pipelines.synthetic.layouts import Item, files, plan
from data_pipelines.synthetic.renderer import has_drawn
from data_pipelines.synthetic.triples import images, shot

BATCH = 8
RECIPE = "synthetic.json"
VERSION = 2
"""Raise this number when the same seed draws other pictures."""


def write_domain(
    domain: DrawnDomain,
    out: Path,
    *,
    seed: int,
    identities: int,
    test_identities: int,
    triples: int,
    height: int,
    width: int,
) -> bool:
    """Write `out/<domain's name>`; return False if it exists already and was made with the same settings.

    The folder is built beside its final place and renamed when it is whole, so an interrupted run leaves nothing that
    looks finished. Raises `DataError` if the folder was made with other settings, and its subclass `DiskError` if the
    disk refuses.
    """
    recipe = {
        "version": VERSION,
        "seed": seed,
        "identities": identities,
        "test_identities": test_identities,
        "triples": triples,
        "height": height,
        "width": width,
    }
    final = out / domain.name
    if final.exists():
        _require_same(final, recipe)
        return False
    with writing(final, then=f"of {domain.name} nothing is kept, and the same command draws it again"):
        partial = out / f".{domain.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        items = plan(domain, seed, identities, test_identities, triples)
        _write_items(domain, partial, items, seed, height, width)
        (partial / RECIPE).write_text(json.dumps(recipe, indent=2) + "\n")
        partial.rename(final)
    return True


def _require_same(final: Path, recipe: dict[str, int]) -> None:
    try:
        found = json.loads((final / RECIPE).read_text())
    except (OSError, ValueError):
        raise DataError(
            f"{final} exists but has no readable {RECIPE}, so it was not written by this program; "
            f"choose another --out, or move the folder away"
        ) from None
    differing = [
        f"{name} {found.get(name)} there, {value} asked for"
        for name, value in recipe.items()
        if found.get(name) != value
    ]
    if differing:
        raise DataError(
            f"{final} was made by another recipe: {'; '.join(differing)}. "
            f"Ask for the same numbers, choose another --out, or delete the folder"
        )


def _write_items(
    domain: DrawnDomain, root: Path, items: Sequence[Item], seed: int, height: int, width: int
) -> None:
    """Render and encode in as many threads as there are cores; JAX and Pillow release the interpreter's lock."""
    batches = [items[start : start + BATCH] for start in range(0, len(items), BATCH)]

    def work(batch: Sequence[Item]) -> int:
        # A short last batch is filled up, so that there is one compilation.
        padded = [*batch, *[batch[-1]] * (BATCH - len(batch))]
        shots = [shot(domain, seed, item.index, item.number, item.camera) for item in padded]
        for item, triple in zip(batch, images(shots, height=height, width=width), strict=False):
            for name, content in files(domain, item, triple):
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        return len(batch)

    def each_triple(pool: ThreadPoolExecutor) -> Iterator[None]:
        # Compiles once, before the threads would all do it.
        with nullcontext() if has_drawn() else compiling("the renderer"):
            first = work(batches[0])
        yield from repeat(None, first)
        for done in pool.map(work, batches[1:]):
            yield from repeat(None, done)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            title = f"drawing {domain.name}"
            for _ in track(each_triple(pool), total=len(items), description=title, unit="triple"):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
