"""Write the embedded data: `python -m data_pipelines.synthetic --out data/synthetic --seed 0`."""

from pathlib import Path

from absl import app, flags

from data_pipelines.ending import orderly_end
from data_pipelines.records import DataError
from data_pipelines.synthetic.contact_sheet import write_contact_sheet
from data_pipelines.synthetic.domains import DOMAINS
from data_pipelines.synthetic.renderer import HEIGHT, WIDTH
from data_pipelines.synthetic.writer import write_domain

OUT = flags.DEFINE_string("out", "data/synthetic", "Folder for RGBNT100/ and WMVeID863/.")
SEED = flags.DEFINE_integer("seed", 0, "The same seed writes the same bytes.", lower_bound=0)
IDENTITIES = flags.DEFINE_integer("identities", 128, "Training identities per domain.", lower_bound=1)
TEST_IDENTITIES = flags.DEFINE_integer("test_identities", 30, "Test identities per domain.", lower_bound=1)
TRIPLES = flags.DEFINE_integer("triples", 8, "Triples per identity.", lower_bound=2, upper_bound=1000)
SHEET = flags.DEFINE_string("contact_sheet", None, "Also draw an overview of both domains to this PNG.")

MOST_IDENTITIES = 4999
"""File names hold four digits, shared by two domains whose identities must not carry the same number."""


def main(argv: list[str]) -> None:
    """Write both domains, then the contact sheet if one is asked for."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; every option begins with --")
    if IDENTITIES.value + TEST_IDENTITIES.value > MOST_IDENTITIES:
        raise app.UsageError(
            f"--identities {IDENTITIES.value} and --test_identities {TEST_IDENTITIES.value} exceed "
            f"{MOST_IDENTITIES} together; ask for fewer"
        )
    out = Path(OUT.value)
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
    if SHEET.value:
        write_contact_sheet(Path(SHEET.value), seed=SEED.value)
        print(f"{SHEET.value}: drawn")


if __name__ == "__main__":
    with orderly_end():
        app.run(main)
