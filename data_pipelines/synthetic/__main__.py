"""Write the embedded data: `python -m data_pipelines.synthetic --out data/synthetic --seed 0`."""

from pathlib import Path

from absl import app, flags, logging

from data_pipelines.reading.printable import escape_on_streams
from data_pipelines.reading.records import DataError
from data_pipelines.session.command_line import define_path, parse_flags, refuse
from data_pipelines.session.compilation import keep_compiled_programs
from data_pipelines.session.ending import orderly_end

OUT = define_path("out", "data/synthetic", "Folder for RGBNT100/ and WMVeID863/.")
SEED = flags.DEFINE_integer("seed", 0, "The same seed writes the same bytes.", lower_bound=0)
IDENTITIES = flags.DEFINE_integer("identities", 128, "Training identities per domain.", lower_bound=1)
TEST_IDENTITIES = flags.DEFINE_integer("test_identities", 30, "Test identities per domain.", lower_bound=1)
TRIPLES = flags.DEFINE_integer("triples", 8, "Triples per identity.", lower_bound=2, upper_bound=1000)
PREVIEW = define_path("contact_sheet", None, "Also draw an overview of both domains to this PNG.")

MOST_IDENTITIES = 4999
"""File names hold four digits, and the identities of the two domains must have different numbers."""


def main(argv: list[str]) -> None:
    """Write both domains, then their preview if one is asked for."""
    del argv
    escape_on_streams()
    logging.set_verbosity(logging.WARNING)  # JAX tells of every missing TPU
    if IDENTITIES.value + TEST_IDENTITIES.value > MOST_IDENTITIES:
        refuse(
            [
                f"--identities {IDENTITIES.value} and --test_identities {TEST_IDENTITIES.value} exceed "
                f"{MOST_IDENTITIES} together; ask for fewer"
            ]
        )
    keep_compiled_programs()
    draw(OUT.value, PREVIEW.value)


def draw(out: Path, preview: Path | None) -> None:
    """Draw both domains into `out`, and their preview if `preview` names a file."""
    # Slow to import, JAX among them.
    from data_pipelines.synthetic.domains import DOMAINS
    from data_pipelines.synthetic.preview import write_preview
    from data_pipelines.synthetic.renderer import HEIGHT, WIDTH
    from data_pipelines.synthetic.writer import write_domain

    try:
        for domain in DOMAINS.values():
            written = write_domain(
                domain,
                out,
                seed=SEED.value,
                identities=IDENTITIES.value,
                test_identities=TEST_IDENTITIES.value,
                triples=TRIPLES.value,
                height=HEIGHT,
                width=WIDTH,
            )
            print(f"{out / domain.name}: {'written' if written else 'already there, nothing to do'}")
    except DataError as error:
        raise SystemExit(f"error: {error}") from None
    if preview:
        write_preview(preview, seed=SEED.value)
        print(f"{preview}: drawn")


if __name__ == "__main__":
    with orderly_end():
        app.run(main, flags_parser=parse_flags)
