"""Speed against what people use today, as ratios that are measured in one run.

* `select`: the masking call; `policies`: the masking call of each policy, and feedback
* `text`, `video`: training steps
* `clips`: reading of clips
* `counting`: counting of words and of n-grams

Each has a `run` that returns the rows of a table.
"""

import time
from collections.abc import Callable, Mapping

IN_A_ROW = 3
"""Runs of one contender before the next has its turn; the first of them finds the caches cold."""


def fastest(
    contenders: Mapping[str, Callable[[], object]], rounds: int, *, in_a_row: int = IN_A_ROW
) -> dict[str, float]:
    """Return the shortest time of each contender in seconds; they take turns, so that a busy machine slows all alike.

    Args:
        contenders: Functions to time, by name.
        rounds: Number of turns of each contender.
        in_a_row: Number of runs in each turn.
    """
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(rounds):
        for name, run in contenders.items():
            for _ in range(in_a_row):
                began = time.perf_counter()
                run()
                best[name] = min(best[name], time.perf_counter() - began)
    return best
