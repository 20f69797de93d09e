"""Draw the page: `python -m data_pipelines.contact_sheet --prepared data/prepared/wmveid863_256x128_1ac6c067`."""

import sys

from absl import app, flags, logging

from data_pipelines.reading.printable import escape_on_streams
from data_pipelines.reading.records import DataError
from data_pipelines.session.command_line import define_path, parse_flags
from data_pipelines.session.ending import orderly_end

PREPARED = define_path("prepared", None, "What data_pipelines.prepare wrote.", required=True)
OUT = define_path("out", "contact_sheet.html", "The page; one file, images included.")
TRIPLES = flags.DEFINE_integer("triples", 12, "Random triples of each split.", lower_bound=0)
IDENTITIES = flags.DEFINE_integer(
    "identities", 6, "Identities shown by camera, of each split.", lower_bound=0
)
SEED = flags.DEFINE_integer("seed", 0, "Of the choice.", lower_bound=0)


def main(argv: list[str]) -> None:
    """Read the flags and write the page."""
    from data_pipelines.contact_sheet.page import write_page  # slow to import

    del argv
    escape_on_streams()
    logging.set_verbosity(logging.WARNING)  # TFDS tells of every table it opens
    try:
        write_page(
            PREPARED.value.absolute(),
            OUT.value,
            triples=TRIPLES.value,
            identities=IDENTITIES.value,
            seed=SEED.value,
        )
    except DataError as error:
        sys.exit(f"error: {error}")
    print(f"{OUT.value}: drawn")


if __name__ == "__main__":
    with orderly_end():
        app.run(main, flags_parser=parse_flags)
