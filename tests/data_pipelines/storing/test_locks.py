"""One process at a time in a folder, whoever holds it and however that one ends."""

import subprocess
import sys
import threading

import pytest

from data_pipelines.storing.locks import LOCK, Timeout, exclusive, locked

HOLDER = """
import sys, time
from pathlib import Path
from data_pipelines.storing.locks import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(300)
"""


def try_to_lock(folder):
    return locked(folder, wait=False, advice="start it once")


def test_a_folder_is_locked_until_its_holder_is_killed(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(Timeout):
                try_to_lock(tmp_path)
        finally:
            holder.kill()
    with try_to_lock(tmp_path), pytest.raises(Timeout):
        try_to_lock(tmp_path)


def test_who_comes_second_waits_until_the_first_has_left(tmp_path):
    order, inside = [], threading.Event()

    def first():
        with exclusive(tmp_path):
            inside.set()
            threading.Event().wait(0.2)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait()
    with exclusive(tmp_path):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_a_lock_may_be_left_in_another_thread(tmp_path):
    held = try_to_lock(tmp_path)
    thread = threading.Thread(target=held.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    with try_to_lock(tmp_path):
        pass


def test_the_file_of_an_older_lock_is_no_obstacle(tmp_path):
    (tmp_path / LOCK).write_text("")
    with try_to_lock(tmp_path):
        pass


def test_a_folder_that_does_not_exist_is_an_error_of_the_disk(tmp_path):
    with pytest.raises(FileNotFoundError):
        try_to_lock(tmp_path / "gone")
