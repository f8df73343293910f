"""TypeTable: the word types that rows point to, and which of them a token that holds several words is."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Self

from diffmask.text.corpus.words import LETTER, char_classes, split_words, types_of


class TypeTable(list[str]):
    """A list of types that knows what decides between them; a type's row is its place.

    Args:
        types: The types.
        language: Language whose own case and letters count, see `split_words`.
        telling: How much each says of the domain, such as its TF-ICF; None: the longer, the more.
    """

    def __init__(self, types: Sequence[str] = (), language: str | None = None, telling: Sequence[float] | None = None):
        super().__init__(types)
        self.language = language
        self.telling = telling

    @classmethod
    def of(cls, types: Sequence[str] | None) -> "TypeTable":
        """Return types as a table; None is an empty one."""
        return types if isinstance(types, TypeTable) else cls(types or ())

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        return type(self), (list(self), self.language, self.telling)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row of each type."""
        # an older table may hold several spellings of one type: the first, which is more frequent, is meant
        return {kind: row for row, kind in reversed([*enumerate(types_of(self, self.language))])}

    def says(self, kind: str) -> float:
        """Return how much a type of the table says of the domain."""
        return len(kind) if self.telling is None else self.telling[self.row_of[kind]]

    def row(self, surface: str) -> int:
        """Return the row of a word or term; -1 where it is not in the table.

        >>> TypeTable(["5", "fluorouracil"]).row("5-fluorouracil")
        1
        """
        row = self.row_of.get(surface, -1)
        return row_of_term(surface, self.row_of, self.says, self.language) if row < 0 else row


def row_of_term(
    surface: str, row_of: Mapping[str, int], says: Callable[[str], float] = len, language: str | None = None
) -> int:
    """Return the row of what holds several words, such as a token that was added for a whole term; -1 if none is known.

    It is the row of the term ("lung cancer"), if that is known; else that of its most telling word: of those that are
    no number and no single letter the one that says most.

    Args:
        surface: The term.
        row_of: Row of each type that is known.
        says: How much such a type says of the domain.
        language: Language whose own case and letters count.
    """
    parts = split_words(surface, language)
    row = row_of.get(" ".join(parts), -1)
    if row >= 0:
        return row
    known = [part for part in parts if part in row_of]
    return row_of[max(known, key=lambda part: (is_telling(part), says(part)))] if known else -1


def is_telling(word: str) -> bool:
    """Tell whether a type may stand for a domain: no number and, in scripts with spaces, no single letter."""
    if len(word) == 1:
        return word.isalpha() and char_classes(word)[0] != LETTER
    return any(map(str.isalpha, word))
