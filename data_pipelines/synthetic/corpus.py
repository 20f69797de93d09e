"""Write the corpus of drawn vehicles: `python -m data_pipelines.synthetic.corpus --out data/corpus`.

ImageNet's weights, from which the paper starts, have no counterpart at the size of the demonstration. This corpus takes
ImageNet's place: photographs in visible light of 2,048 other vehicles, from other cameras than those of either domain.
"""

from absl import app, flags, logging

from data_pipelines.reading.printable import escape_on_streams
from data_pipelines.reading.records import DataError
from data_pipelines.session.command_line import define_path, parse_flags
from data_pipelines.session.compilation import keep_compiled_programs
from data_pipelines.session.ending import orderly_end
from data_pipelines.synthetic.collections import MANIFEST, write_corpus

OUT = define_path("out", "data/corpus", "Folder for the four collections and their manifest.csv.")
IDENTITIES = flags.DEFINE_integer(
    "identities", 512, "Training identities of each collection.", lower_bound=1, upper_bound=1900
)


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


if __name__ == "__main__":
    with orderly_end():
        app.run(main, flags_parser=parse_flags)
