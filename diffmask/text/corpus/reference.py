"""The reference a domain is compared with: general word frequencies, a corpus, or a counts file.

    reference = read_reference("wordfreq:en")
    reference.frequencies(["the", "kinase"])

A frequency is relative (a share of all words); a type that the reference does not know has 0.
"""

import functools
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffmask.core.errors import InputError
from diffmask.text.corpus.counts import Counts, count_corpus
from diffmask.text.corpus.documents import Sources
from diffmask.text.corpus.words import char_classes, types_of, word_spans

WORDFREQ = "wordfreq:"
"""What a reference begins with that is the frequencies of a language."""
_DIRECTIONS = dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
"""Marks of direction, which word lists have at the ends of numbers; for `str.translate`."""


@dataclass(frozen=True)
class Reference:
    """Relative frequencies of types.

    Attributes:
        name: What the user called it.
        frequency: Returns the share of a type in all words.
        record: Where the frequencies are from: versions, hashes.
    """

    name: str
    frequency: Callable[[str], float]
    record: dict[str, Any]

    @classmethod
    def of_counts(cls, counts: Counts, name: str) -> "Reference":
        """Return counts as a reference.

        >>> from collections import Counter
        >>> Reference.of_counts(Counts(Counter(a=3, b=1), 1), "small").frequencies(["a", "c"]).tolist()
        [0.75, 0.0]
        """
        num_words = counts.num_words
        if num_words == 0:
            raise InputError(f"the reference {name} contains no words; give one with text")
        record = {"num_words": num_words, "num_documents": counts.num_documents, "sources": counts.sources}
        return cls(name, lambda word: counts.counts[word] / num_words, record)

    def frequencies(self, types: Sequence[str]) -> np.ndarray:
        """Return the relative frequency of each type: float64 (V,)."""
        return np.array([self.frequency(word) for word in types], dtype=np.float64)

    def describe(self) -> dict[str, Any]:
        """Return what identifies the reference, for JSON: versions and hashes."""
        return {"name": self.name, **self.record}


def language_of(spec: Sources) -> str | None:
    """Return the language of a reference, whose own case and letters count; None for files, which do not say it.

    >>> language_of("wordfreq:tr")
    'tr'
    """
    specs = [spec] if isinstance(spec, str | Path) else [*spec]
    name = str(specs[0]) if specs else ""
    return name.removeprefix(WORDFREQ) if name.startswith(WORDFREQ) else None


def read_reference(spec: Sources, column: str | None = None, num_processes: int = 1) -> Reference:
    """Return the reference that a specification names.

    Args:
        spec: `wordfreq:LANGUAGE`, or files: counts files made by `diffmask count` and corpora, added up.
        column: Text column of the corpora; None finds it.
        num_processes: How many processes count the corpora.

    Raises:
        InputError: The language is not known, or a file cannot be read.
    """
    specs = [str(spec)] if isinstance(spec, str | Path) else [str(part) for part in spec]
    if any(part.startswith(WORDFREQ) for part in specs):
        if len(specs) > 1:
            raise InputError(f"{', '.join(specs)} cannot be added up; give {WORDFREQ}LANGUAGE alone, or only files")
        if column is not None:
            raise InputError(f"column {column!r} was given, but {specs[0]} has no columns; leave it out")
        return _wordfreq_reference(specs[0].removeprefix(WORDFREQ))
    unknown = next((part for part in specs if not Path(part).exists() and (":" in part or part == "wordfreq")), None)
    if unknown is not None:
        allowed = f"{WORDFREQ}LANGUAGE (such as {WORDFREQ}en), a corpus or a counts file"
        raise InputError(f"unknown reference {unknown!r}; give {allowed}")
    counted = [part for part in specs if Counts.are_in(part)]
    corpora = [part for part in specs if part not in counted]
    if column is not None and not corpora:
        raise InputError(f"column {column!r} was given, but {', '.join(counted)} holds counts already; leave it out")
    parts = [Counts.load(part) for part in counted]
    if corpora or not parts:
        parts.append(count_corpus(corpora, column, num_processes))
    return Reference.of_counts(Counts.merge(parts), ", ".join(specs))


def _wordfreq_reference(language: str) -> Reference:
    """Return the frequencies of the package wordfreq for a language, under our definition of a word.

    One of their words may be several of ours ("don't", "3.14", a Chinese word), so each of ours has the sum of their
    frequencies over all in which it occurs; where the two definitions agree, so do the frequencies. Every number has
    the frequency of all numbers together, because none is a word of a domain. Other types with several digits ("p53")
    have wordfreq's estimate.
    """
    try:
        import wordfreq
    except ImportError as error:
        needed = f"the reference {WORDFREQ}{language} needs the package wordfreq"
        raise InputError(f"{needed}; install it: pip install wordfreq") from error
    languages = sorted(wordfreq.available_languages())
    if language not in languages:
        raise InputError(f"wordfreq has no language {language!r}; choose from: {', '.join(languages)}")
    record = {"package": "wordfreq", "version": importlib.metadata.version("wordfreq"), "language": language}
    return Reference(WORDFREQ + language, functools.partial(_wordfreq_frequency, language), record)


def _wordfreq_frequency(language: str, word: str) -> float:
    from wordfreq.numbers import digit_freq, smash_numbers

    table, frequency_of_numbers = _wordfreq_table(language)
    if word.isdecimal():
        return frequency_of_numbers
    key = word if word.isascii() else types_of([_normaliser(language)(word)], language)[0]
    smashed = smash_numbers(key)
    frequency = table.get(smashed, 0.0)
    return frequency if smashed == key else frequency * digit_freq(key)


@functools.cache
def _wordfreq_table(language: str) -> tuple[dict[str, float], float]:
    """Return the frequency of each of our words in a word list, and of all numbers together."""
    import wordfreq

    entries = wordfreq.get_frequency_dict(language)
    # a list has some hundred thousand entries, too many to split one by one: they are split together, one a line, and
    # the line in which a word begins says whose frequency it gets
    text = "\n".join(entries)
    starts, stops = word_spans(char_classes(text))
    line_ends = np.cumsum([len(entry) + 1 for entry in entries])
    lines = np.searchsorted(line_ends, starts, side="right")
    frequencies = np.fromiter(entries.values(), dtype=np.float64)[lines].tolist()
    table: dict[str, float] = {}
    for start, stop, frequency in zip(starts.tolist(), stops.tolist(), frequencies, strict=True):
        word = text[start:stop].translate(_DIRECTIONS)
        table[word] = table.get(word, 0.0) + frequency
    # their frequencies are shares of their words; there are more of ours in the same text
    words_per_entry = sum(table.values()) / sum(entries.values())
    table = {word: frequency / words_per_entry for word, frequency in table.items()}
    # a type has the frequency of its own spelling, beside which others are rare; where the list spells it otherwise
    # (a Greek word without a final sigma), that of this spelling
    others = [word for word in table if not word.isascii()]
    for word, kind in zip(others, types_of(others, language), strict=True):
        table.setdefault(kind, table[word])
    return table, sum(frequency for word, frequency in table.items() if word.isdecimal())


@functools.cache
def _normaliser(language: str) -> Callable[[str], str]:
    """Return the spelling under which wordfreq lists a word: composed, folded, without vowel points, ..."""
    import langcodes
    from wordfreq.preprocess import preprocess_text

    tag = langcodes.get(language)
    simplified = _simplified_chinese() if language == "zh" else {}

    def normalise(word: str) -> str:
        # Python's lower case of a dotted capital I keeps the dot as a mark of its own
        return preprocess_text(word.replace("i\u0307", "i"), tag).translate(simplified)

    return normalise


def _simplified_chinese() -> dict[int, str]:
    """Return the simplified form of characters; wordfreq's own access to it needs a segmenter of Chinese."""
    import gzip

    import msgpack
    from wordfreq.util import data_path

    with gzip.open(data_path("_chinese_mapping.msgpack.gz"), "rb") as file:
        table = msgpack.load(file, raw=False, strict_map_key=False)
    assert isinstance(table, dict)
    return table
