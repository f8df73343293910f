"""The definition of a word: the vectorised code against a slow readable loop over `unicodedata`."""

import functools
import time
import unicodedata
from collections import Counter

import numpy as np
import pytest
import regex

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
    types_of,
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
VOICING_MARKS = "\uff9e\uff9f"
INVISIBLE = regex.compile(r"\p{Default_Ignorable_Code_Point}")

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
    "be\u00adcause be\u200bcause be\u2060cause \ufeffbecause\u200e (\u202abecause\u202c) x\u200b y ก\u200bข .\u200ba",
    "ശ\u0d4d\u200d আহ্\u200c ක්\u200dර",
    "می\u200cخواهم کار\u200cها می\u200c\u200cشود \u200cمی ه\u200d क्\u200cष क\u200cष क्\u200d",
    "مُدَرِّس كتــاب ـ ــ ـَ أَب ا\u0654ب ﻻ ﷲ ﷺ שָׁלוֹם שׁ \ufb2a",
    "ⅷ ㎏ ﬃx ｆｕｌｌ ①② ⑴ µ μ Ω Å ſ ℓ 𝐀 ª ㊀ ㆒ ﾞ aﾞ ゟ ำ",
    "I\u0307 i\u0307 ị\u0307 J\u030c Ț Ş Straße ẞ ΑΣ1 2σ σα\u0301ς̃ ᾼ",
    "\u1102\u1161\u11c0 ㄱㅏ \u3164x q\u0323\u0307 q\u0307\u0323 क़ क\u093c 6\ufe0f\u20e3",
]


@functools.cache
def slow_class(char):
    category = unicodedata.category(char)
    if char.isspace() or category.startswith("Z"):
        return SPACE
    if category.startswith("M") or char in VOICING_MARKS or INVISIBLE.match(char):
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
    for place, char in enumerate(text):
        within = classes[place] == LETTER and (classes[place + 1 : place + 2] == [LETTER])
        if char == "\u200b" and classes[place] != MARK and not within:
            classes[place] = SPACE
    return classes


def slow_type(word, language=None):
    """Spell one word as its type, one character after the other."""
    seen = [char for char in word if char in "\u200c\u200d" or not INVISIBLE.match(char)]
    seen = [char for place, char in enumerate(seen) if char not in "\u200c\u200d" or is_seen(seen, place)]
    plain = "".join(char if stays_whole(char) else unicodedata.normalize("NFKD", char) for char in seen)
    text = unicodedata.normalize("NFC", plain)
    if language == "tr":
        text = text.replace("I", "ı").replace("İ", "i")
    text = "".join(char if stays_whole(char) else char.lower() for char in text)
    for letter in "ijįɨіјị":
        text = text.replace(f"{letter}\u0307", letter)
    text = unicodedata.normalize("NFC", text)
    bare = "".join(char for char in text if not is_point(char))
    text = bare or text[:1]
    text = text.replace("ς", "σ")
    is_greek = [place for place, char in enumerate(text) if char == "σ"]
    for place in is_greek:
        before, after = text[:place][-1:], text[place + 1 :][:1]
        if (before.isalpha() or is_accent(before)) and not (after.isalnum() or after == "_" or is_accent(after)):
            text = f"{text[:place]}ς{text[place + 1 :]}"
    letters = {"tr": {"ș": "ş", "ț": "ţ"}, "ro": {"ş": "ș", "ţ": "ț"}, "de": {"ß": "ss"}}.get(language, {})
    return "".join(letters.get(char, char) for char in text)


def is_accent(char):
    return "\u0300" <= char <= "\u036f"


@functools.cache
def is_point(char):
    in_abjad = unicodedata.name(char, "").startswith(("ARABIC", "HEBREW", "SYRIAC")) and ord(char) not in range(
        0x700, 0x750
    )
    return char == "ـ" or (in_abjad and unicodedata.category(char) == "Mn")


def is_seen(chars, place):
    """Tell whether a joiner changes what is seen, by the contexts of UAX 31."""
    char, before, after = chars[place], chars[:place], chars[place + 1 :]
    if before[-1] in "\u200c\u200d":
        return False
    if unicodedata.combining(before[-1]) == 9 and (
        char == "\u200d" or any(other not in "\u200c\u200d" for other in after)
    ):
        return True
    passed = regex.compile(r"[\p{Joining_Type=Transparent}\u200c\u200dـ]")
    left = next((other for other in reversed(before) if not passed.match(other)), " ")
    right = next((other for other in after if not passed.match(other)), " ")
    joins = [
        regex.match(rf"[\p{{jt=Dual_Joining}}\p{{jt=Join_Causing}}\p{{jt={name}_Joining}}]", other)
        for name, other in (("Left", left), ("Right", right))
    ]
    return char == "\u200c" and all(joins)


@functools.cache
def stays_whole(char):
    """Tell whether the plain form of a letter would be no part of one word."""
    plain, own = unicodedata.normalize("NFKC", char), slow_class(char)
    if plain == char or own not in (LETTER, UNSPACED, MARK):
        return False
    first, *others = map(slow_class, plain)
    return first != own or any(other != MARK and not other == own == LETTER for other in others)


def slow_words(text, language=None):
    found, last = [], SPACE
    for char, own in zip(text, slow_classes(text), strict=True):
        if own == UNSPACED or (own == LETTER and last != LETTER):
            found.append(char)
        elif own in (LETTER, MARK):
            found[-1] += char
        last = own
    return [slow_type(word, language) for word in found]


@pytest.mark.parametrize("text", TEXTS)
def test_classes_and_words_equal_the_slow_reference(text):
    assert char_classes(text).tolist() == slow_classes(text)
    assert split_words(text) == slow_words(text)
    for language in ("tr", "de", "ro"):
        assert split_words(text, language) == slow_words(text, language)


def test_every_code_point_has_the_class_that_its_name_and_category_say():
    table = words._table()
    wrong = [hex(code) for code in range(0x40000) if slow_class(chr(code)) != table[code]]
    assert wrong == []
    assert set(table[0x40000:].tolist()) == {PUNCT, MARK}


def test_a_type_is_one_word_and_its_own_type():
    # a table of types is read by the same rule that made it
    assigned = [chr(code) for code in range(0x20000) if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")]
    for pattern in ("{}", "x{}", "字{}", "ب{}ب"):
        types = split_words(" ".join(map(pattern.format, assigned)))
        assert split_words(" ".join(types)) == types
        assert types_of(types) == types


def test_any_mixture_of_scripts_equals_the_slow_reference():
    alphabet = sorted(set("".join(TEXTS)))
    choice = np.random.default_rng(0).integers(len(alphabet), size=(300, 40))
    for row in choice:
        text = "".join(alphabet[i] for i in row)
        assert char_classes(text).tolist() == slow_classes(text)
        assert split_words(text) == slow_words(text)
        assert split_words(" ".join(split_words(text))) == split_words(text)


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
        assert types_of([unit for (_, unit), word in zip(found, is_word, strict=True) if word]) == split_words(text)


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
