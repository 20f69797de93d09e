"""Verify a data set, report on it, and write it for training.

    python -m data_pipelines.prepare --dataset wmveid863 --source /data/WMVeID863 --out data/prepared

With `--check-only` nothing is written. The exit status is 0 if the data can be trained on, warnings or not, and 1 if
not. Training prepares by itself; prepared by this command with the same size, it finds the work done.
"""

import re
import sys
from pathlib import Path

from absl import app, flags, logging

from data_pipelines import builders
from data_pipelines.checks import check_queries
from data_pipelines.datasets import FACTS, READERS, read
from data_pipelines.ending import orderly_end
from data_pipelines.examination import count_table, count_warnings, image_warnings
from data_pipelines.images import DEEP_RANGE, check_deep_range
from data_pipelines.records import DataError
from data_pipelines.verification import raise_faults, verify

DATASET = flags.DEFINE_string("dataset", None, f"One of {', '.join(READERS)}.", required=True)
SOURCE = flags.DEFINE_string(
    "source", None, "The data set's folder, or the table of a manifest.", required=True
)
OUT = flags.DEFINE_string("out", "data/prepared", "Where prepared data sets are kept (config.data.prepared).")
SIZE = flags.DEFINE_string("size", "256x128", "Height x width in pixels (config.data.image_size).")
DEEP = flags.DEFINE_string(
    "deep_range",
    ",".join(map(str, DEEP_RANGE)),
    "Raw values that become 0 and 255, of images of more than 8 bits.",
)
CHECK_ONLY = flags.DEFINE_bool("check_only", False, "Report as ever, write nothing.")
flags.DEFINE_alias("check-only", "check_only")


def run(
    name: str, source: str, out: Path | None, image_size: tuple[int, int], deep_range: tuple[int, int]
) -> None:
    """Verify, report on stdout, and prepare below `out`, unless it is None; DataError if the set cannot be used."""
    check_deep_range(deep_range)
    dataset = read(name, source)
    print(f"{name} in {dataset.root}; the rule is 'same pid and same {dataset.removal}'")
    print(count_table(dataset, FACTS[name]))
    warnings = [*dataset.warnings, *check_queries(dataset), *count_warnings(dataset, FACTS[name])]
    reports = builders.verify_once(dataset, out, image_size, deep_range) if out else verify(dataset)
    warnings += image_warnings(dataset, reports, deep_range)
    for warning in warnings:
        print(f"warning: {warning}")
    num_faults = sum(1 for report in reports if report.fault)
    print(f"{len(reports):,} files verified, {num_faults:,} cannot be used, {len(warnings)} warnings")
    raise_faults(dataset, reports)
    if out:
        print(f"prepared in {builders.prepare(dataset, out, image_size=image_size, deep_range=deep_range)}")


def main(argv: list[str]) -> None:
    """Flags → run → exit status."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; every option begins with --")
    out = None if CHECK_ONLY.value else Path(OUT.value).expanduser()
    logging.set_verbosity(logging.WARNING)  # TFDS tells of every shard
    height, width = _numbers("size", SIZE.value, "256x128", least=1)
    low, high = _numbers("deep_range", DEEP.value, "0,65535", least=0)
    try:
        run(DATASET.value, SOURCE.value, out, (height, width), (low, high))
    except DataError as error:
        sys.exit(f"error: {error}")


def _numbers(flag: str, text: str, example: str, *, least: int) -> tuple[int, int]:
    match = re.fullmatch(r"\(?(\d+)\s*[x,]\s*(\d+)\)?", text.strip())
    if match is None or min(int(match[1]), int(match[2])) < least:
        raise app.UsageError(
            f"--{flag} is {text!r}; write it as in --{flag}={example}, with whole numbers of at least {least}"
        )
    return int(match[1]), int(match[2])


if __name__ == "__main__":
    with orderly_end():
        app.run(main)
