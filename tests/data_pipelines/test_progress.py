"""A bar on a terminal, lines in a log, silence elsewhere."""

import io
import sys

import pytest

from data_pipelines.progress import LoggedProgress, track


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
    monkeypatch.setattr("data_pipelines.progress.time.monotonic", lambda: float(next(clock)))
    file = io.StringIO()
    run(
        LoggedProgress(range(10), total=total, description="epoch 3", unit="step", interval=6.0, file=file),
        loss=0.123456,
    )
    return file.getvalue().splitlines()


def test_a_log_gets_a_whole_line_every_interval(monkeypatch):
    assert [line.split("/10")[0].split()[-1] for line in logged_lines(monkeypatch, total=10)] == [
        "3",
        "6",
        "9",
    ]


def test_a_line_shows_rate_remaining_time_and_postfix(monkeypatch):
    first = logged_lines(monkeypatch, total=10)[0]
    assert first == "epoch 3:  30% 3/10 [00:06<00:14,  2.00s/step, loss=0.1235]"


def test_an_unknown_total_still_gives_count_and_rate(monkeypatch):
    first = logged_lines(monkeypatch, total=None)[0]
    assert first == "epoch 3: 3step [00:06,  2.00s/step, loss=0.1235]"
