"""Work in threads that is given up, from wherever."""

import gc
import sys

from data_pipelines.session.parallel import map_in_order


class Holder:
    """Holds an iterator in a cycle, as a traceback does; only the collector ends it."""

    def __init__(self, held):
        self.held, self.me = held, self


def test_what_one_of_the_threads_collects_ends_without_a_word(monkeypatch):
    told: list = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    def work(number: int) -> int:
        gc.collect()
        return number

    gc.freeze()  # what other tests made would be looked through each time
    try:
        for _ in range(20):
            numbers = map_in_order(work, range(10**6))
            next(numbers)
            holder = Holder(numbers)
            del numbers, holder
        gc.collect()
    finally:
        gc.unfreeze()
    assert told == []
