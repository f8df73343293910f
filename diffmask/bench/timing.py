"""Timing: the fastest of several interleaved runs, so that a busy machine disturbs all contenders alike."""

import time
from collections.abc import Callable, Mapping

IN_A_ROW = 3
"""Runs of one contender before the next has its turn; the first of them finds the caches cold."""


def fastest(
    contenders: Mapping[str, Callable[[], object]], rounds: int, *, in_a_row: int = IN_A_ROW
) -> dict[str, float]:
    """Return the shortest time of each contender in seconds, over so many rounds in which each has its turn."""
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(rounds):
        for name, run in contenders.items():
            for _ in range(in_a_row):
                began = time.perf_counter()
                run()
                best[name] = min(best[name], time.perf_counter() - began)
    return best
