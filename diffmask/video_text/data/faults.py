"""What is wrong with data that are used all the same: counted by kind, the first few named, told in one line each."""

import logging
from collections import Counter
from collections.abc import Iterator

_NUM_NAMED = 3


class Faults:
    """Faults by kind.

    >>> faults = Faults()
    >>> faults.add("clips without text", "a.mp4")
    >>> str(faults)
    '1 clips without text (a.mp4)'
    """

    def __init__(self):
        self.counts: Counter[str] = Counter()
        """How many there are of each kind."""
        self._named: dict[str, list[str]] = {}

    def add(self, kind: str, name: str) -> None:
        """Note a fault.

        Args:
            kind: What is wrong, and what was done: "clips without text are left out".
            name: Where.
        """
        self.counts[kind] += 1
        named = self._named.setdefault(kind, [])
        if len(named) < _NUM_NAMED:
            named.append(name)

    def add_all(self, other: "Faults", where: str = "") -> None:
        """Note the faults of a part.

        Args:
            other: The faults.
            where: What their names are to begin with.
        """
        for kind, count in other.counts.items():
            named = self._named.setdefault(kind, [])
            named += [where + name for name in other.named(kind)[: _NUM_NAMED - len(named)]]
            self.counts[kind] += count

    def named(self, kind: str) -> tuple[str, ...]:
        """Return where the first few of a kind are."""
        return tuple(self._named.get(kind, ()))

    def lines(self) -> Iterator[str]:
        """Yield one sentence for each kind."""
        for kind, count in self.counts.items():
            more = ", ..." if count > len(self._named[kind]) else ""
            yield f"{count:,} {kind} ({', '.join(self._named[kind])}{more})"

    def tell(self, logger: logging.Logger) -> None:
        """Log each kind as a warning."""
        for line in self.lines():
            logger.warning("%s", line)

    def __str__(self) -> str:
        """Return all of it as one sentence."""
        return "; ".join(self.lines())
