"""A bar on a terminal, lines in a log, silence elsewhere."""

import io
import sys
import time
from itertools import chain, count

import pytest

from data_pipelines.session.progress import LoggedProgress, prefixed, speaking_of, time_left, track


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(progress, **postfix):
    items = []
    for item in progress:
        items.append(item)
        progress.set_postfix(**postfix)
    return items


@pytest.mark.parametrize("stderr", [Terminal, io.StringIO])
@pytest.mark.parametrize("process_index", [0, 1])
def test_every_item_is_passed_through(monkeypatch, stderr, process_index):
    monkeypatch.setattr(sys, "stderr", stderr())
    progress = track("abc", total=3, description="epoch 1/2", unit="step", process_index=process_index)
    assert run(progress, loss=1.0) == ["a", "b", "c"]


def test_a_terminal_gets_a_bar(monkeypatch):
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    run(track(range(3), total=3, description="epoch 1/2", unit="step"))
    assert "epoch 1/2:" in stderr.getvalue()


def test_a_short_loop_writes_nothing_into_a_log(monkeypatch):
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    run(track(range(100), total=100, description="epoch", unit="step"))
    assert stderr.getvalue() == ""


def test_another_process_is_silent_even_on_a_terminal(monkeypatch):
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    run(track(range(3), total=3, description="epoch", unit="step", process_index=1), loss=1.0)
    assert stderr.getvalue() == ""


def logged_lines(monkeypatch, *, total):
    """Ten items of 2 s each, a line every 6 s."""
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr("data_pipelines.session.progress.time.monotonic", lambda: float(next(clock)))
    file = io.StringIO()
    run(
        LoggedProgress(range(10), total=total, description="epoch 3", unit="step", interval=6.0, file=file),
        loss=0.123456,
    )
    return file.getvalue().splitlines()


def test_a_log_gets_a_whole_line_every_interval(monkeypatch):
    assert [line.split("/10")[0].split()[-1] for line in logged_lines(monkeypatch, total=10)] == [
        "4",
        "7",
        "10",
    ]


def test_a_line_shows_rate_remaining_time_and_postfix(monkeypatch):
    first = logged_lines(monkeypatch, total=10)[0]
    assert first == "epoch 3:  40% 4/10 [00:08<00:12,  2.00s/step, loss=0.1235]"


def test_an_unknown_total_still_gives_count_and_rate(monkeypatch):
    first = logged_lines(monkeypatch, total=None)[0]
    assert first == "epoch 3: 4step [00:08,  2.00s/step, loss=0.1235]"


def with_a_slow_first_step(monkeypatch, module: str):
    """The seconds 0, 150, 151, 152 …: the first item takes 150 and each other one."""
    clock = chain([0.0], count(150.0))
    monkeypatch.setattr(module, lambda: next(clock))


def test_a_log_never_reckons_with_the_first_step(monkeypatch):
    with_a_slow_first_step(monkeypatch, "data_pipelines.session.progress.time.monotonic")
    file = io.StringIO()
    run(LoggedProgress(range(60), total=60, description="epoch", unit="step", interval=10.0, file=file))
    assert file.getvalue().splitlines()[0] == "epoch:  18% 11/60 [02:40<00:49,  1.00step/s]"


def test_a_bar_never_reckons_with_the_first_step(monkeypatch):
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    progress = track(range(4), total=4, description="epoch", unit="step")
    for number in progress:
        time.sleep(0.5 if number == 0 else 0.12)
    shown = [part for part in stderr.getvalue().split("\r") if "2/4" in part or "3/4" in part]
    assert shown
    for part in shown:
        assert "step/s" in part  # with the first it would be seconds a step


def test_nothing_is_drawn_before_the_first_step_is_done(monkeypatch):
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    progress = track(range(3), total=3, description="epoch", unit="step")
    for number in progress:
        assert number > 0 or stderr.getvalue() == ""
        progress.set_postfix(loss=1.0)
    assert "1/3" in stderr.getvalue()


@pytest.mark.parametrize("stderr", [Terminal, io.StringIO])
@pytest.mark.parametrize("items", [[], ["a"]])
def test_a_loop_of_one_item_or_none_is_no_exception(monkeypatch, stderr, items):
    monkeypatch.setattr(sys, "stderr", stderr())
    assert run(track(items, total=len(items), description="epoch", unit="step")) == items


def test_a_loop_says_what_is_spoken_of(monkeypatch):
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    with speaking_of("seed 1, no_cpa"):
        progress = track(range(3), total=3, description="epoch 1/2", unit="step")
    run(progress)
    assert "seed 1, no_cpa: epoch 1/2:" in stderr.getvalue()
    assert prefixed("epoch") == "epoch"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "less than a minute left"),
        (29, "less than a minute left"),
        (31, "about 1 min left"),
        (240, "about 4 min left"),
        (7140, "about 119 min left"),
        (7200, "about 2.0 h left"),
        (86400, "about 24 h left"),
    ],
)
def test_a_duration_is_said_in_the_unit_that_fits(seconds, words):
    assert time_left(seconds) == words
