"""What a step of each method costs, beside the baseline's: python -m benchmarks.method_steps [--only mmt,idm].

The step of adaptation of the demonstration, 32 + 32 triples; methods of the US protocol have the target's 32 only. All
take turns with the baseline, so that whatever else the machine does meets all alike. Clustering and evaluation are not
in it.
"""

import argparse
from statistics import median

from benchmarks.step_speed import OurStep, configured
from benchmarks.turns import report, speed, take_turns

ROWS = {
    "baseline": "baseline",
    "MAN": "paper",
    "plus": "plus",
    **{
        name: name
        for name in ("man_released", "mmt", "p2lr", "dssm", "secret", "idm", "lrimv", "cluster_contrast")
    },
    **{name: f"{name}+us" for name in ("rtmem", "lp", "dhccn", "three_c", "o2cap")},
}
"""The variant of the experiment for each row."""


def main(flags: argparse.Namespace) -> None:
    """Compile the steps, let them take turns, and print the time of each over the baseline's."""
    chosen = [name for name in ROWS if name == "baseline" or not flags.only or name in flags.only.split(",")]
    steps, bytes_of = {}, {}
    for name in chosen:
        steps[name] = OurStep(configured("demo", ROWS[name], triples=32), adaptation=True)
        bytes_of[name] = steps[name].memory.scratch
        print(f"compiled {name} in {steps[name].seconds_to_compile:.0f} s", flush=True)
    seconds = take_turns(steps, rounds=flags.rounds)
    print("| method | time over the baseline's | s, median | scratch, MiB |\n|---|---:|---:|---:|")
    for name, each in seconds.items():
        over = speed(seconds["baseline"], each)
        print(f"| {name} | {over} | {median(each):.3f} | {bytes_of[name] / 2**20:.0f} |")
    report("steps of the methods, demo, 32 triples a domain", seconds, ours="baseline")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="methods, separated by commas; all if not given")
    parser.add_argument("--rounds", type=int, default=9)
    main(parser.parse_args())
