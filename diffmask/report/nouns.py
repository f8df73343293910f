"""What is masked, in words."""

from typing import NamedTuple


class Nouns(NamedTuple):
    """What is masked, in the plural: in large (words) and as the encoder sees it (tokens)."""

    wholes: str = "words"
    parts: str = "tokens"


WORDS = Nouns()
"""What is masked in text."""
PATCHES = Nouns("patches", "patches")
"""What is masked in clips."""
