"""Write the corpus of drawn vehicles: `python -m data_pipelines.synthetic.corpus --out data/corpus`.

ImageNet's weights, from which the paper starts, have no counterpart at the size of the demonstration. This corpus takes
ImageNet's place: photographs in visible light of 2,048 other vehicles, from other cameras than those of either domain.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from absl import app, flags, logging

from data_pipelines.reading.printable import escape_on_streams
from data_pipelines.reading.records import DataError
from data_pipelines.session.command_line import define_path, parse_flags
from data_pipelines.session.compilation import keep_compiled_programs
from data_pipelines.session.disk import writing
from data_pipelines.session.ending import orderly_end

OUT = define_path("out", "data/corpus", "Folder for the four collections and their manifest.csv.")
IDENTITIES = flags.DEFINE_integer(
    "identities", 512, "Training identities of each collection.", lower_bound=1, upper_bound=1900
)
SEED, TEST_IDENTITIES, TRIPLES = 1000, 16, 8
MANIFEST = "manifest.csv"


def main(argv: list[str]) -> None:
    """Write the four collections, then the table of their photographs."""
    del argv
    escape_on_streams()
    logging.set_verbosity(logging.WARNING)
    keep_compiled_programs()
    try:
        write_corpus(OUT.value, identities=IDENTITIES.value)
    except DataError as error:
        raise SystemExit(f"error: {error}") from None
    print(f"{OUT.value / MANIFEST}: written")


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


if __name__ == "__main__":
    with orderly_end():
        app.run(main, flags_parser=parse_flags)
