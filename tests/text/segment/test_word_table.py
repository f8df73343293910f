"""docs/words.md says what tests hold. `PYTHONPATH=.:tests python tests/text/segment/test_word_table.py` writes it."""

from pathlib import Path

import pytest
from support.families import FAMILIES, SAMPLES, tokenizer_of, units_of

from diffmask.text.corpus.words import split_words
from diffmask.text.segment.segmenter import segmenter_for

DOCS = Path(__file__).parents[3] / "docs" / "words.md"
TYPES = [
    ("soft hyphen, zero-width space, byte order mark", "be\u00adcause be\u200bcause \ufeffbecause", "because", None),
    ("word joiner, direction marks, variation selector", "a\u2060b \u200eab\u200e ab\ufe0f", "ab", None),
    ("Mongolian vowel separator", "\u182c\u180e\u1820 \u182c\u1820", "\u182c\u1820", None),
    ("accents composed or not", "cafe\u0301 caf\u00e9 CAFE\u0301", "caf\u00e9", None),
    ("Vietnamese, marks in any order", "Vi\u1ec7t Vie\u0302\u0323t Vie\u0323\u0302t", "vi\u1ec7t", None),
    ("Devanagari nukta", "\u0958\u0932\u092e \u0915\u093c\u0932\u092e", "\u0915\u093c\u0932\u092e", None),
    ("Korean syllables or letters", "\ud55c\uad6d \u1112\u1161\u11ab\u1100\u116e\u11a8", "\ud55c\uad6d", None),
    ("ligatures", "ﬁnal final", "final", None),
    ("full width", "ＤＮＡ dna", "dna", None),
    ("half width", "ｶﾞ ガ カ\u3099", "ガ", None),
    ("Roman numerals, letters of mathematics", "Ⅳ ⅳ IV 𝐈𝐕", "iv", None),
    ("raised and lowered digits", "CO₂ CO2", "co2", None),
    ("signs that are letters", "\u00b5m \u03bcm", "\u03bcm", None),
    ("Arabic stretching, vowel points, letter forms", "كتاب كتــاب كِتَاب ﻛﺘﺎﺏ", "كتاب", None),
    ("Hebrew points", "שלום שָׁלוֹם", "שלום", None),
    ("a non-joiner after a letter that joins none", "کارها کار\u200cها", "کارها", None),
    ("two words: the non-joiner is seen", "می\u200cخواهم میخواهم", "می\u200cخواهم میخواهم", None),
    ("Greek final sigma", "ΛΟΓΟΣ λόγος λόγοσ", "λογος λόγος", None),
    ("a dot above i", "İzmir izmir", "izmir", None),
    ("Turkish", "ISPARTA Isparta ısparta İzmir", "ısparta izmir", "tr"),
    ("German", "Straße STRASSE STRAẞE", "strasse", "de"),
    ("German words, in no known language", "Straße STRASSE", "straße strasse", None),
    ("Romanian", "\u015ftiin\u0163\u0103 \u0219tiin\u021b\u0103", "\u0219tiin\u021b\u0103", "ro"),
    ("two words: a half has no plain form", "½ 1 2", "½ 1 2", None),
]
"""Kind, text, its types, and the language of the reference, if it matters."""
RULE = """## Types

Words are counted, compared with a reference and looked up by their *type*: what a reader sees as one word. A type is
the word in lower case, composed (NFC), in the plain form of its letters (NFKC), and without what is not seen. So it is
for anchors and lists of them, counts and references, classes, gazetteers, n-grams and near duplicates. Tokens and
offsets are those of the text; only the comparison changes.

* Not seen are Unicode's default-ignorable characters. A zero-width space is one inside a word of letters; elsewhere it
  is a space. A zero-width joiner or non-joiner counts where it changes what is seen (UAX 31): after the sign
  that joins consonants of India, and, for a non-joiner, between two letters that would join.
* A letter whose plain form would be no part of one word (½ is 1/2) stays as it is.
* Points of Arabic and Hebrew, and the line that stretches an Arabic word, are left out, as the word lists do.
* Case is Unicode's, and σ at the end of a word is ς. With the reference `wordfreq:tr`, `I` is a capital `ı`; with
  `wordfreq:de`, `ß` is `ss`; with `wordfreq:ro`, a cedilla is a comma. Files as a reference do not say their language.
* A token that holds several words, such as a term that was added to the vocabulary, has the type of the term if there
  is one, else that of its most telling word: of those that are no number and no single letter the one with the
  highest TF-ICF (`fluorouracil` of `5-fluorouracil`).

"""
SHOWN = "The BRCA1-mutated cells don't grow (in vitro): 细胞 👍🏽"


def table():
    """Return docs/words.md."""
    lines = [
        "# Words",
        "",
        "A unit is a word or a punctuation character of the *text*, so it is the same for every tokenizer. In",
        "scripts without spaces, each character is a word. An emoji is one unit. Tests check that every tokenizer",
        "gives these words:",
        "",
        "| text | words |",
        "|---|---|",
        *(f"| {_cell(text)} | {' '.join(f'`{word}`' for word in words.split())} |" for text, words in SAMPLES.items()),
        "",
        *RULE.splitlines(),
        "Tests check these:",
        "",
        "| kind | text | types | reference |",
        "|---|---|---|---|",
        *(_type_row(*row) for row in TYPES),
        "",
        "## Tokens",
        "",
        f"How tokens form units in “{SHOWN}”, with the number of units, and the number of groups that",
        "the tokenizer's own `word_ids` make. The vocabularies are small and trained by the tests; the pipelines are",
        "those of the models. (A token that spans two words joins them, because half a token cannot be masked.)",
        "",
        "| tokenizer | tokens by unit | units | `word_ids` |",
        "|---|---|---|---|",
    ]
    for family in FAMILIES:
        units, _ = units_of(family, SHOWN)
        encoding = tokenizer_of(family)(SHOWN, add_special_tokens=False)
        groups = len(set(encoding.word_ids()))
        shown = " ".join(f"`{' '.join(tokens)}`" for tokens, _ in units)
        lines.append(f"| {family} | {shown.replace('|', '&#124;')} | {len(units)} | {groups} |")
    return "\n".join(lines) + "\n"


def _cell(text):
    return "`" + text.replace("\t", "\\t").replace("\n", "\\n") + "`"


def _shown(text):
    for hidden in "\u00ad\u180e\u200b\u200c\u200e\u2060\ufe0f\ufeff":
        text = text.replace(hidden, ascii(hidden)[1:-1])
    return _cell(text)


def _type_row(kind, text, types, language):
    shown, words = _shown(text), " ".join(map(_shown, types.split(" ")))
    return f"| {kind} | {shown} | {words} | {f'`wordfreq:{language}`' if language else ''} |"


@pytest.mark.parametrize(("kind", "text", "types", "language"), TYPES)
def test_what_a_reader_sees_as_one_word_is_one_type(kind, text, types, language):
    assert list(dict.fromkeys(split_words(text, language))) == types.split(" ")
    # a byte-level tokenizer keeps every character: its units have these types, and its tokens are those of the text
    segments = segmenter_for(tokenizer_of("RoBERTa"), language=language)([text])
    assert [word for word in dict.fromkeys(segments.surfaces) if split_words(word)] == types.split(" ")
    assert segments.text == text
    starts, stops = segments.token_spans.T.tolist()
    covered = {place for start, stop in zip(starts, stops, strict=True) for place in range(start, stop)}
    assert {place for place, char in enumerate(text) if char != " "} <= covered


def test_the_table_in_the_documentation_is_current():
    assert DOCS.read_text(encoding="utf-8") == table(), "see the top of this file"


if __name__ == "__main__":
    DOCS.write_text(table(), encoding="utf-8")
