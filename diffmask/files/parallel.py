"""Several processes: a function over a stream of items, results in order, memory bounded."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_state: dict[str, Callable] = {}


def map_ordered(
    function: Callable[[Item], Result], items: Iterable[Item], num_processes: int
) -> Generator[tuple[Item, Result]]:
    """Return each item with its result, in the order of the items.

    Args:
        function: Is sent to each process once, so it may hold something large.
        items: Read as results are taken: a few per process are held.
        num_processes: 1 works in this process. More are started afresh (spawned), so a script that asks for them keeps
            its work under `if __name__ == "__main__":`.
    """
    if num_processes == 1:
        yield from ((item, function(item)) for item in items)
        return
    # spawned, because a fork copies the locks of threads that do not exist in the child
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_processes, context, initializer=_start, initargs=(function,)) as pool:
        waiting: deque[tuple[Item, Future]] = deque()

        def take() -> tuple[Item, Result]:
            item, future = waiting.popleft()
            return item, future.result()

        try:
            for item in items:
                waiting.append((item, pool.submit(_call, item)))
                if len(waiting) > 2 * num_processes:
                    yield take()
            while waiting:
                yield take()
        finally:
            pool.shutdown(cancel_futures=True)


def _start(function: Callable) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one process is one core; the tokenizer starts threads otherwise
    _state["function"] = function


def _call(item: Any) -> Any:
    return _state["function"](item)
