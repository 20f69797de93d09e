"""Draw the page: `python -m data_pipelines.contact_sheet --prepared data/prepared/wmveid863_256x128_1ac6c067`."""

import sys
from pathlib import Path

from absl import app, flags, logging

from data_pipelines.contact_sheet.page import write_page
from data_pipelines.ending import orderly_end
from data_pipelines.records import DataError

PREPARED = flags.DEFINE_string("prepared", None, "What data_pipelines.prepare wrote.", required=True)
OUT = flags.DEFINE_string("out", "contact_sheet.html", "The page; one file, images included.")
TRIPLES = flags.DEFINE_integer("triples", 12, "Random triples of each split.", lower_bound=0)
IDENTITIES = flags.DEFINE_integer(
    "identities", 6, "Identities shown by camera, of each split.", lower_bound=0
)
SEED = flags.DEFINE_integer("seed", 0, "Of the choice.", lower_bound=0)


def main(argv: list[str]) -> None:
    """Flags → page."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; every option begins with --")
    logging.set_verbosity(logging.WARNING)  # TFDS tells of every table it opens
    try:
        write_page(
            Path(PREPARED.value).expanduser(),
            Path(OUT.value).expanduser(),
            triples=TRIPLES.value,
            identities=IDENTITIES.value,
            seed=SEED.value,
        )
    except DataError as error:
        sys.exit(f"error: {error}")
    print(f"{OUT.value}: drawn")


if __name__ == "__main__":
    with orderly_end():
        app.run(main)
