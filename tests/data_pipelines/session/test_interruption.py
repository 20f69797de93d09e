"""What a signal does to a command, in processes of their own: one line and the status, whatever goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.starts import await_end

ROOT = Path(__file__).parents[3]
SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"]
DEFAULT = "what is finished is kept, and the same command goes on"

BUSY = {
    "in Python": "while True: pass",
    "asleep": "import time; time.sleep(60)",
    "in a computation without Python": "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)",
    "waiting for a thread": "import threading; threading.Event().wait()",
    "waiting for a process": "import subprocess; subprocess.run(['sleep', '60'])",
    "catching everything": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "in a lock of the log": "import logging\nwith logging.getLogger().handlers or logging._lock:\n    while True: pass",
}


def start(body: str, *, before: str = "", **options) -> subprocess.Popen:
    """A command that says "ready" on stdout, then does what `body` says."""
    program = f"""
import os, signal, sys
# What runs the tests may ignore signals; a terminal does not.
for each in {SIGNALS}:
    signal.signal(signal.Signals[each], signal.SIG_DFL)
{before}
from data_pipelines.session.ending import orderly_end
from data_pipelines.session.interruption import kept
with orderly_end():
    print("ready", flush=True)
{"".join(f"    {line}{chr(10)}" for line in body.splitlines())}
"""
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def interrupt(process: subprocess.Popen, *names: str) -> tuple[int, str, float]:
    """(status, stderr, seconds) after these signals to a process that is ready; nothing of it is left."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    begun = time.monotonic()
    for name in names:
        process.send_signal(signal.Signals[name])
    _, told = process.communicate(timeout=60)
    seconds = time.monotonic() - begun
    await_end(process.pid)
    return process.returncode, told, seconds


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("body", BUSY.values(), ids=BUSY)
def test_a_signal_ends_a_command_with_one_line_whatever_it_does(name, body):
    status, told, seconds = interrupt(start(body), name)
    assert status == 128 + signal.Signals[name]
    assert told == f"interrupted by {name}; {DEFAULT}\n"
    assert seconds < 10


def test_the_line_says_what_the_innermost_context_keeps():
    body = "with kept(lambda: 'outer'), kept(lambda: 'step 4 is kept'):\n    import time; time.sleep(60)"
    assert interrupt(start(body), "SIGTERM")[1] == "interrupted by SIGTERM; step 4 is kept\n"


def test_a_context_that_is_left_says_nothing_any_more():
    body = "with kept(lambda: 'gone'): pass\nimport time; time.sleep(60)"
    assert interrupt(start(body), "SIGTERM")[1] == f"interrupted by SIGTERM; {DEFAULT}\n"


def test_a_description_that_fails_does_not_keep_the_command_from_ending():
    body = "with kept(lambda: 1 / 0):\n    import time; time.sleep(60)"
    assert interrupt(start(body), "SIGINT")[:2] == (130, f"interrupted by SIGINT; {DEFAULT}\n")


SLOW = "import time\nwith kept(lambda: time.sleep(60)):\n    time.sleep(60)"


def test_a_description_that_takes_for_ever_is_not_waited_for():
    status, told, seconds = interrupt(start(SLOW), "SIGTERM")
    assert (status, told) == (143, "")
    assert seconds < 20


def test_a_second_ctrl_c_ends_at_once():
    process = start(SLOW)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - begun < 2  # the grace would be 3


def test_a_signal_that_comes_twice_at_once_is_one():
    status, told, _ = interrupt(start("import time; time.sleep(60)"), "SIGTERM", "SIGTERM")
    assert (status, told) == (143, f"interrupted by SIGTERM; {DEFAULT}\n")


def test_a_signal_that_is_ignored_stays_ignored():
    body = "os.kill(os.getpid(), signal.SIGHUP)\nimport time; time.sleep(0.5)\nprint('went on')"
    process = start(body, before="signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    out, told = process.communicate(timeout=60)
    assert (process.returncode, out, told) == (0, "ready\nwent on\n", "")


def test_what_was_printed_before_is_not_lost():
    body = "print('a table')\nos.kill(os.getpid(), signal.SIGTERM)\nwhile True: pass"
    out, _ = start(body).communicate(timeout=60)
    assert out == "ready\na table\n"


LOADERS = """
import numpy as np
from data_pipelines.loading.loader import training_batches
from tests.engine.splits import new_split
batches = training_batches(new_split(np.arange(64) % 8), np.zeros((10**6, 8), int), workers=2)
next(batches)
print('loading', flush=True)
for batch in batches: pass
"""


@pytest.mark.parametrize(
    "to_all", [False, True], ids=["to the command alone", "to all, as Ctrl-C of a terminal"]
)
def test_loader_processes_end_with_the_command_and_without_a_word(to_all):
    process = start(LOADERS, env=os.environ | {"JAX_PLATFORMS": "cpu"})
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "loading\n"]
    (os.killpg if to_all else os.kill)(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)  # to the end of all that hold the pipe
    assert process.returncode == 130
    assert told == f"interrupted by SIGINT; {DEFAULT}\n"
    await_end(process.pid)


# --- outputs that nobody reads, or that cannot be written


def shell(line: str) -> subprocess.CompletedProcess:
    """What bash makes of a line, in which COMMAND prints many lines on stdout and on stderr."""
    program = """
import sys
from data_pipelines.session.ending import orderly_end
with orderly_end():
    for number in range(20000):
        print("a row of a table", number)
        print("a line of a log", number, file=sys.stderr)
"""
    environment = os.environ | {"PROGRAM": program}
    text = line.replace("COMMAND", f'{sys.executable} -c "$PROGRAM"')
    return subprocess.run(
        ["bash", "-c", text], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("line", ["COMMAND 2>&1 | head -1", "COMMAND 2>/dev/null | head -1"])
def test_a_reader_that_leaves_ends_a_command_without_a_word(line):
    result = shell(f"({line}); exit ${{PIPESTATUS[0]}}".replace("(", "").replace(")", ""))
    assert result.returncode == 141
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""


@pytest.mark.parametrize("line", ["COMMAND >&-", "COMMAND 2>&-", "COMMAND >&- 2>&- <&-"])
def test_an_output_that_is_closed_is_none(line):
    result = shell(line)
    assert result.returncode == 0
    assert "Traceback" not in result.stderr


def test_an_output_on_a_full_disk_is_named_in_one_line():
    result = shell("COMMAND 2>/dev/null >/dev/full")
    assert result.returncode == 1
    result = shell("COMMAND >/dev/full 2>&1 | cat")
    assert "Traceback" not in result.stdout + result.stderr


def test_a_file_that_is_opened_never_has_the_number_of_a_closed_output():
    imports = "from data_pipelines.session.ending import orderly_end"
    program = f"{imports}\nwith orderly_end(): open('/dev/zero').fileno() > 2 or 1/0"
    result = subprocess.run(
        ["bash", "-c", f'{sys.executable} -c "$PROGRAM" <&- >&- 2>&-'],
        cwd=ROOT,
        env=os.environ | {"PROGRAM": program},
    )
    assert result.returncode == 0
