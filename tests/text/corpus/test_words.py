"""The definition of a word: the vectorised code against a slow readable loop over `unicodedata`."""

import time
import unicodedata
from collections import Counter

import numpy as np
import pytest

from diffmask.text.corpus import words
from diffmask.text.corpus.words import (
    LETTER,
    MARK,
    PUNCT,
    SPACE,
    UNSPACED,
    char_classes,
    count_words,
    split_words,
    unit_starts,
)

UNSPACED_NAMES = (
    "CJK UNIFIED",
    "CJK COMPATIBILITY IDEOGRAPH",
    "HIRAGANA",
    "KATAKANA",
    "THAI",
    "LAO",
    "KHMER",
    "MYANMAR",
    "BOPOMOFO",
    "TAI LE",
    "NEW TAI LUE",
    "TAI THAM",
    "TAI VIET",
    "HENTAIGANA",
    "HANGZHOU",
    "VERTICAL KANA",
    "MASU MARK",
)
JOINERS = "\u00ad\u200c\u200d\uff9e\uff9f"

TEXTS = [
    "",
    " ",
    "The p53 protein, phosphorylated at Ser-15, doesn't bind.",
    "snake_case and CamelCase, e.g. 3.14 or 1,000",
    "naïve café: Straße ÄÖÜ ﬁnal",
    "e\u0301clair E\u0301CLAIR \u0301 alone .\u0301 dotted",
    "İstanbul IĞDIR ISTANBUL",
    "ΟΔΥΣΣΕΥΣ Σ ΑΣ'Α σας",
    "细胞生物学研究p53蛋白。第2章 ２０年",
    "日本語のテキストはーガギ々、ｶﾞｷﾞ 〇",
    "か\u3099がん",
    "ภาษาไทยเป็นภาษาที่ ๒๕๖๗ ปี",
    "ភាសាខ្មែរ ພາສາລາວ မြန်မာဘာသာ ၁၂",
    "한국어 문장입니다.",
    "اللغة العربيّة، ١٢٣ می\u200cخواهم",
    "हिन्दी में क्\u200dष और शब्द।",
    "emoji 😀👩\u200d💻❤\ufe0f👍🏽 1\ufe0f\u20e3 and text",
    "soft\u00adhyphen zero\u200bwidth no\u00a0break line\u2028next\u0085x",
    "tabs\tand\nlines\r\x1c\x00\x07bell \ufeffbom",
    "m² ½ Ⅷ ① № ™ €5 x²y",
    "I\u2019m \u201cquoted\u201d a\u2013b",
    "𝐀𝐁 𠀀𠀁 𐐀𐐨",
    "\ud800 lone \udc00x",
    "字a字1字\u0301字 \u0301字",
]


def slow_class(char):
    category = unicodedata.category(char)
    if char.isspace() or category.startswith("Z") or char == "\u200b":
        return SPACE
    if category.startswith("M") or char in JOINERS:
        return MARK
    if category.startswith("L") or category == "Nl":
        name = unicodedata.name(char, "")
        halfwidth = name.removeprefix("HALFWIDTH ")
        return UNSPACED if halfwidth.startswith(UNSPACED_NAMES) or char in "々〆〇〻" else LETTER
    return LETTER if category.startswith("N") else PUNCT


def slow_classes(text):
    classes = []
    for char in text:
        own = slow_class(char)
        if own == MARK:
            before = classes[-1] if classes else SPACE
            own = {SPACE: PUNCT, PUNCT: PUNCT, LETTER: LETTER, UNSPACED: MARK, MARK: MARK}[before]
        classes.append(own)
    return classes


def slow_words(text):
    found, last = [], SPACE
    for char, own in zip(text, slow_classes(text), strict=True):
        if own == UNSPACED or (own == LETTER and last != LETTER):
            found.append(char)
        elif own in (LETTER, MARK):
            found[-1] += char
        last = own
    return [word.lower() for word in found]


@pytest.mark.parametrize("text", TEXTS)
def test_classes_and_words_equal_the_slow_reference(text):
    assert char_classes(text).tolist() == slow_classes(text)
    assert split_words(text) == slow_words(text)


def test_every_code_point_has_the_class_that_its_name_and_category_say():
    table = words._table()
    wrong = [hex(code) for code in range(0x40000) if slow_class(chr(code)) != table[code]]
    assert wrong == []
    assert set(table[0x40000:].tolist()) == {PUNCT, MARK}


def test_any_mixture_of_scripts_equals_the_slow_reference():
    alphabet = sorted(set("".join(TEXTS)))
    choice = np.random.default_rng(0).integers(len(alphabet), size=(300, 40))
    for row in choice:
        text = "".join(alphabet[i] for i in row)
        assert char_classes(text).tolist() == slow_classes(text)
        assert split_words(text) == slow_words(text)


def test_words_are_the_runs_that_classes_and_starts_describe():
    for text in TEXTS:
        classes, starts = char_classes(text), unit_starts(char_classes(text))
        found = []
        for char, own, start in zip(text, classes, starts, strict=True):
            if start:
                found.append([own, ""])
            if own != SPACE:
                found[-1][1] += char
        is_word = [own in (LETTER, UNSPACED) for own, _ in found]
        assert [unit.lower() for (_, unit), word in zip(found, is_word, strict=True) if word] == split_words(text)


def test_lower_case_never_changes_the_class_of_a_character():
    # a type is lower(word): if this failed, the words of a text and of its types would differ
    for code in range(0x40000):
        char = chr(code)
        lower = char.lower()
        if lower != char:
            own = char_classes("x" + char)[1]
            assert set(char_classes("x" + lower)[1:].tolist()) == {own}, hex(code)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("don't", ["don", "t"]),
        ("co-expression", ["co", "expression"]),
        ("IL-2Rα", ["il", "2rα"]),
        ("STRASSE Straße", ["strasse", "straße"]),
        ("ΑΣ'Α ΣΑΣ", ["ας", "α", "σας"]),
        ("北京 is", ["北", "京", "is"]),
        ("2024年", ["2024", "年"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("हिन्दी शब्द।", ["हिन्दी", "शब्द"]),
        ("👩\u200d💻 ❤\ufe0f ok", ["ok"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
    ],
)
def test_words_of_known_texts(text, expected):
    assert split_words(text) == expected


def test_count_words_equals_counting_each_text_alone():
    texts = TEXTS * 400
    assert sum(map(len, texts)) > 2 * words._BATCH_CHARS
    expected = Counter(word for text in texts for word in split_words(text))
    assert count_words(iter(texts)) == expected
    assert count_words([]) == Counter()


def test_texts_are_read_one_at_a_time():
    def texts():
        yield "one two"
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        count_words(texts())


def test_the_table_of_classes_is_cheap():
    start = time.process_time()
    words._table.__wrapped__()
    assert time.process_time() - start < 0.5
