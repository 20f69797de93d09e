"""Write the four collections of the corpus, and the table of their photographs."""

import csv
from collections.abc import Iterator
from pathlib import Path

from data_pipelines.session.disk import writing

SEED, TEST_IDENTITIES, TRIPLES = 1000, 16, 8
MANIFEST = "manifest.csv"


def write_corpus(out: Path, *, identities: int) -> None:
    """Draw the collections that are not there yet, then write `out/manifest.csv`.

    Raises DataError if a collection was drawn by another recipe, and its subclass DiskError if the disk refuses.
    """
    # Slow to import, JAX among them.
    from data_pipelines.synthetic.domains import CORPUS
    from data_pipelines.synthetic.renderer import HEIGHT, WIDTH
    from data_pipelines.synthetic.writer import write_domain

    recipe = {"seed": SEED, "identities": identities, "test_identities": TEST_IDENTITIES, "triples": TRIPLES}
    for domain in CORPUS:
        write_domain(domain, out, **recipe, height=HEIGHT, width=WIDTH)
    with writing(out / MANIFEST), (out / MANIFEST).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["split", "R", "pid", "camid"])
        table.writerows(_rows(identities))


def _rows(identities: int) -> Iterator[tuple[str, str, int, int]]:
    """List every photograph of the corpus: split, path, pid, and a camid that no two collections share."""
    from data_pipelines.synthetic.domains import CORPUS
    from data_pipelines.synthetic.layouts import place, plan

    first_camera = 0
    for domain in CORPUS:
        for item in plan(domain, SEED, identities, TEST_IDENTITIES, TRIPLES):
            for split in item.splits:
                path = f"{domain.name}/{place(domain, item, split, 'vis')}"
                yield split, path, domain.first_pid + item.index, first_camera + item.camera
        first_camera += len(domain.cameras)
