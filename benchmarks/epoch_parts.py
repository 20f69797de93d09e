"""Split an epoch of MAN's adaptation into its parts: python -m benchmarks.epoch_parts [--variant plus].

The demonstration's experiment goes through a run's own loop, after one step of pre-training, and the functions that it
calls are timed until their results are there. The first epoch compiles and does not count. The share of a part
is its time over the epoch's. Without `--data`, which names the folder of the demonstration's data, fewer vehicles are
drawn first.
"""

import argparse
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
from absl import logging

from benchmarks.drawn_domains import demo_config, drawn_domains, overrides
from benchmarks.turns import report
from man_jax.engine import phases
from man_jax.engine.run_parts import first_state, open_run
from man_jax.methods import man

WHOLE = "the epoch"
PARTS = {
    "features of both domains": [(phases, "extract_table")],
    "clustering": [(man, "cluster_tables"), (man, "cluster_by_neighbours")],
    "alignment of the clusterings": [(man, "align_pseudo_labels"), (man, "continue_numbers")],
    "prototypes and heads": [(man, "begin_epoch")],
    "steps": [(phases, "train_epoch")],
    "evaluation": [(phases, "evaluate")],
    "figures and checkpoint": [(phases, "_finish_epoch")],
}
"""The functions of each part, by the module that calls them."""


class EpochTimes:
    """The seconds of each part in each epoch."""

    def __init__(self):
        self.epochs: list[dict[str, float]] = []
        self._parts: dict[str, float] = defaultdict(float)
        self._begun = time.perf_counter()

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Make a function that does the same, and adds its time to the part; the last part ends the epoch."""

        def run(*arguments: Any, **keywords: Any) -> Any:
            start = time.perf_counter()
            result = jax.block_until_ready(function(*arguments, **keywords))
            now = time.perf_counter()
            self._parts[part] += now - start
            if part == [*PARTS][-1]:
                self.epochs.append({WHOLE: now - self._begun, **self._parts})
                self._parts.clear()
                self._begun = now
            return result

        return run


def measure(parts: Any) -> list[dict[str, float]]:
    """Run all epochs of adaptation, and give the times of each but the first."""
    with parts.claim, contextlib.ExitStack() as patches:
        state = phases.pretrain(parts, first_state(parts))
        times = EpochTimes()
        for part, functions in PARTS.items():
            for module, name in functions:
                wrapped = times.timed(part, getattr(module, name))
                patches.enter_context(patch.object(module, name, wrapped))
        phases.adapt(parts, state)
        parts.writer.close()
        parts.checkpoints.close()
    return times.epochs[1:]


def main(flags: argparse.Namespace) -> None:
    """Open a run of the demonstration, go through its epochs, and report the parts."""
    logging.set_verbosity(logging.WARNING)
    with drawn_domains(flags.data) as (data, folder):
        keys = overrides(data, folder, drawn=flags.data is None)
        keys |= {"pretrain.epochs": 1, "pretrain.iterations": 1}
        keys |= {"adapt.epochs": 1 + flags.rounds, "adapt.iterations": flags.iterations}
        config = demo_config(flags.variant, keys)
        parts = open_run(config, folder / "run")
        epochs = measure(parts)
        numbers = [len(domain.data.train) for domain in parts.domains]
        test = [len(split) for split in (parts.domains.target.data.query, parts.domains.target.data.gallery)]
    seconds = {name: [epoch.get(name, 0.0) for epoch in epochs] for name in (WHOLE, *PARTS)}
    found = sum(map(partial(sum), (seconds[name] for name in PARTS))) / sum(seconds[WHOLE])
    report(
        f"an epoch of adaptation, demo {flags.variant}".rstrip(),
        seconds,
        ours=WHOLE,
        triples=numbers,
        queries_and_gallery=test,
        steps=flags.iterations,
        share_of_all_parts=found,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", default="", help="as after the colon in demo:VARIANT; of the method MAN")
    parser.add_argument("--data", type=Path, help="a folder with RGBNT100/ and WMVeID863/")
    parser.add_argument(
        "--iterations", type=int, default=10, help="steps of an epoch; the demonstration has 50"
    )
    parser.add_argument("--rounds", type=int, default=3, help="epochs that count")
    main(parser.parse_args())
