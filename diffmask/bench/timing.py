"""Timing: the fastest of several interleaved runs, so that a busy machine disturbs all contenders alike."""

import time
from collections.abc import Callable, Mapping


def fastest(contenders: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the shortest time of each contender in seconds, after one run that does not count."""
    for run in contenders.values():
        run()
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(repeats):
        for name, run in contenders.items():
            began = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - began)
    return best
