"""Work on files in threads, which run in parallel because Pillow and hashing release the interpreter's lock."""

import collections
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map a function over items in as many threads as there are CPUs; yield the results in order.

    Only a few results wait at a time. An error is raised in the place of its result; items that are not begun by then
    are left out.
    """
    num_threads = os.cpu_count() or 1
    todo = iter(items)
    waiting: collections.deque[Future[Result]] = collections.deque()
    pool = ThreadPoolExecutor(num_threads)
    try:
        # Only a few at a time, because the futures of a whole data set would fill the memory.
        for item in itertools.islice(todo, 4 * num_threads):
            waiting.append(pool.submit(function, item))
        while waiting:
            result = waiting.popleft().result()
            for item in itertools.islice(todo, 1):
                waiting.append(pool.submit(function, item))
            yield result
    finally:
        # No waiting here: after an error one of these threads may run this, and it cannot wait for itself.
        pool.shutdown(wait=False, cancel_futures=True)
