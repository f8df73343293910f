"""A function over a stream of items in several processes: results in order, memory bounded."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from diffmask.core.errors import InputError
from diffmask.core.processes import check_guard, end_with, num_cores, refuse_in_child

Item = TypeVar("Item")
Result = TypeVar("Result")

_state: dict[str, Callable] = {}


def map_ordered(
    function: Callable[[Item], Result], items: Iterable[Item], num_processes: int
) -> Generator[tuple[Item, Result]]:
    """Yield each item with its result, in the order of the items.

    Args:
        function: The function; it is sent to each process once, so it may hold something large.
        items: The items, which are read as results are taken: only a few per process are held.
        num_processes: Number of processes, of which no more are started than there are cores; 1 works in this one.
            Others are spawned, so a script that asks for them must keep its work under `if __name__ == "__main__":`.

    Raises:
        InputError: If the script does not, or a process is killed.
    """
    if num_processes == 1:
        yield from ((item, function(item)) for item in items)
        return
    refuse_in_child()
    check_guard(f"num_processes={num_processes}")
    num_processes = min(num_processes, num_cores())
    # spawned, since a fork copies locks that are held by threads which do not exist in the child
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_processes, context, initializer=_start, initargs=(function, os.getpid())) as pool:
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
        except BrokenProcessPool as error:
            raise InputError(
                f"one of {num_processes} processes was ended from outside before its work was done, most likely "
                "because the memory ran out; give a smaller num_processes (1 works without others), or end other "
                "programs"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _start(function: Callable, parent: int) -> None:
    end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends the pool
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one core per process: a tokenizer would start threads
    _state["function"] = function


def _call(item: Any) -> Any:
    return _state["function"](item)
