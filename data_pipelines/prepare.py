"""Verify a data set, report on it, and write it for training.

    python -m data_pipelines.prepare --dataset wmveid863 --root /data/WMVeID863 --out data/prepared

With `--check-only` nothing is written. The exit status is 0 if the data can be used, warnings or not, and 1 if not; a
warning says what cannot be done with a set that lacks splits or identities. Training prepares by itself; prepared by
this command with the same size, it finds the work done.
"""

import sys
from pathlib import Path

from absl import app, flags, logging

from data_pipelines.checking.checks import check_queries, gathered_warnings
from data_pipelines.reading.datasets import FACTS, READERS, read
from data_pipelines.reading.number_pairs import number_pair
from data_pipelines.reading.printable import escape_on_streams, printable
from data_pipelines.reading.records import MODALITIES, DataError
from data_pipelines.session.command_line import define_path, parse_flags
from data_pipelines.session.ending import orderly_end
from data_pipelines.storing.images import DEEP_RANGE, FILTER, FILTERS, ImageSettings, check_deep_range
from data_pipelines.storing.room import check_image_size

DATASET = flags.DEFINE_string("dataset", None, f"One of {', '.join(READERS)}.", required=True)
ROOT = define_path("root", None, "The data set's folder, or the table of a manifest.", required=True)
OUT = define_path("out", "data/prepared", "Where prepared data sets are kept (config.data.prepared).")
SIZE = flags.DEFINE_string("size", "256x128", "Height x width in pixels (config.data.image_size).")
DEEP = flags.DEFINE_string(
    "deep_range",
    ",".join(map(str, DEEP_RANGE)),
    "Raw values that become 0 and 255, of images of more than 8 bits.",
)
TRAIN_FILTER = flags.DEFINE_enum(
    "train_filter",
    FILTER,
    sorted(FILTERS),
    "How images of train are resized (config.data.train_filter); those of query and gallery are bilinear.",
)
CHECK_ONLY = flags.DEFINE_bool(
    "check_only", False, "Report as ever, write nothing; with --out, say if there is room."
)
flags.DEFINE_alias("check-only", "check_only")


def report_and_prepare(
    name: str,
    root: str,
    out: Path | None,
    image_size: tuple[int, int],
    deep_range: tuple[int, int],
    train_filter: str = FILTER,
    *,
    later_out: Path | None = None,
) -> None:
    """Verify, report on stdout, and prepare in `out`, unless it is None; DataError if the set cannot be used.

    `later_out` is a folder in which the set is to be prepared later. It is only checked; nothing is written there.
    """
    # Slow to import.
    from data_pipelines.checking.examination import count_table, count_warnings, image_warnings, name_option
    from data_pipelines.checking.verification import raise_faults, verify
    from data_pipelines.storing import builders

    check_deep_range(deep_range)
    check_image_size(image_size)
    dataset = read(name, root)
    lacks = (
        ""
        if dataset.modalities == MODALITIES
        else f"; of the modalities, {', '.join(dataset.modalities)} only"
    )
    print(f"{name} in {printable(dataset.root)}; the rule is 'same pid and same {dataset.removal}'{lacks}")
    print(count_table(dataset, FACTS[name]))
    with gathered_warnings(dataset.warnings) as warnings:
        warnings += [*check_queries(dataset), *count_warnings(dataset, FACTS[name])]
    settings = ImageSettings(image_size, deep_range, train_filter)
    if place := out or later_out:
        warnings += builders.place_warnings(dataset, place, settings)
    if out:
        reports = builders.verify_once(dataset, out, settings)
    else:
        reports = verify(dataset, deep_range=deep_range)
    warnings += image_warnings(dataset, reports, deep_range)
    for warning in warnings:
        print(f"warning: {name_option(warning, '--deep_range')}")
    num_faults = sum(1 for report in reports if report.fault)
    print(f"{len(reports):,} files verified, {num_faults:,} cannot be used, {len(warnings)} warnings")
    raise_faults(dataset, reports)
    if out:
        folder = builders.prepare_with(dataset, out, settings)
        print(f"prepared in {printable(folder)}")


def main(argv: list[str]) -> None:
    """Read the flags and prepare the data set."""
    del argv
    escape_on_streams()
    out = OUT.value.absolute()
    logging.set_verbosity(logging.WARNING)  # TFDS tells of every shard
    try:
        size = number_pair("size", SIZE.value, "256x128", least=1)
        deep_range = number_pair("deep_range", DEEP.value, "0,65535", least=0)
        what = (DATASET.value, str(ROOT.value))
        how = (size, deep_range, TRAIN_FILTER.value)
        if CHECK_ONLY.value:
            # The check does not fail for a default folder, which the user did not choose.
            report_and_prepare(*what, None, *how, later_out=out if flags.FLAGS["out"].present else None)
        else:
            report_and_prepare(*what, out, *how)
    except DataError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    with orderly_end():
        app.run(main, flags_parser=parse_flags)
