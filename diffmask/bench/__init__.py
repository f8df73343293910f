"""Speed against what people use today, as ratios that are measured in one run.

* `select`: the masking call; `policies`: the masking call of each policy, and feedback
* `text`, `video`, `video_text`: training steps
* `clips`: reading of clips
* `counting`: counting of words and of n-grams

Each has a `run` that returns the rows of a table. Contenders take short turns, so that other work on the machine meets
all of them.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping

import psutil

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


class Company:
    """How many cores other programs kept busy while something was measured."""

    cores = 0.0

    def sentence(self) -> str | None:
        """Say that the machine was not quiet; None where it was.

        >>> company = Company()
        >>> company.cores = 0.75
        >>> company.sentence()
        'other programs kept 0.8 cores busy meanwhile: take these figures as rough, or measure again on a quiet machine'
        """
        if self.cores < _QUIET_CORES:
            return None
        return (
            f"other programs kept {self.cores:.1f} cores busy meanwhile: take these figures as rough, or measure again "
            "on a quiet machine"
        )


_QUIET_CORES = 0.1
"""What a desktop or an idle server does in the background stays below."""


@contextlib.contextmanager
def watch_company() -> Iterator[Company]:
    """Yield what is known after the block: how busy other programs were. Processes that it starts count as ours."""
    company = Company()
    began, ours, everybody = time.perf_counter(), _our_seconds(), _all_seconds()
    yield company
    others = (_all_seconds() - everybody) - (_our_seconds() - ours)
    company.cores = max(0.0, others / max(time.perf_counter() - began, 1e-9))


def _our_seconds() -> float:
    """Return the processor time of this process and of those it has started, also where they still run."""
    times = os.times()
    running = 0.0
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            running += sum(child.cpu_times()[:2])
    return times.user + times.system + times.children_user + times.children_system + running


def _all_seconds() -> float:
    """Return the processor time that all programs of the machine have used."""
    times = psutil.cpu_times()
    return sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal"))
