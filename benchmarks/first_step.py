"""How long a training command takes to its first step: python -m benchmarks.first_step.

Each turn starts `man_jax.train` on the demonstration's experiment in a process of its own, and ends it when its log
says that the first step is compiled, which is when the step begins. "cold" has an empty folder of compiled programs;
"second start" has the one that an earlier start filled. The data set is prepared before, by a start that does not
count. Without `--data`, which names the folder of the demonstration's data, fewer vehicles are drawn first.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

from benchmarks.drawn_domains import drawn_domains, overrides
from benchmarks.turns import report, take_turns

STARTED = re.compile(r"compiled the pre-training step in (\d+) s")


def start(words: list[str], runs: Path, programs: Path, *, emptied: bool) -> None:
    """Run the command, and end it at its first step."""
    shutil.rmtree(runs, ignore_errors=True)
    if emptied:
        shutil.rmtree(programs, ignore_errors=True)
    command = [sys.executable, "-m", "man_jax.train", f"--workdir={runs}", *words]
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(programs)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        lines: list[str] = []
        for line in process.stderr or ():
            lines.append(line)
            if STARTED.search(line):
                process.kill()
                return
    raise SystemExit("the run ended before its first step:\n" + "".join(lines[-20:]))


def main(flags: argparse.Namespace) -> None:
    """Let cold starts and second starts take turns."""
    with drawn_domains(flags.data) as (data, folder):
        keys = overrides(data, folder, drawn=flags.data is None)
        words = [f"--config=demo:{flags.variant}" if flags.variant else "--config=demo"]
        words += [f"--config.{name}={value}" for name, value in keys.items()]
        go = partial(start, words, folder / "run")
        go(folder / "kept", emptied=False)
        ways = {
            "second start": partial(go, folder / "kept", emptied=False),
            "cold": partial(go, folder / "cold", emptied=True),
        }
        seconds = take_turns(ways, rounds=flags.rounds, warm=0)
    report(f"to the first step, demo {flags.variant}".rstrip(), seconds, ours="second start")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", default="", help="as after the colon in demo:VARIANT")
    parser.add_argument("--data", type=Path, help="a folder with RGBNT100/ and WMVeID863/")
    parser.add_argument("--rounds", type=int, default=3)
    main(parser.parse_args())
