"""docs/salient.md says what the rule finds. `PYTHONPATH=.:tests python tests/text/test_salient_rule.py` writes it."""

import time
from pathlib import Path

import pytest

from diffmask.text.annotate.salient import LABELS, find_salient
from diffmask.text.annotate.span_file import longest_first

DOCS = Path(__file__).parents[2] / "docs" / "salient.md"
EXAMPLES = {
    "name": [
        "The Bank of England and Johnson & Johnson met Ludwig van Beethoven in New York City.",
        "Yesterday it rained. Then Dr. J. R. Smith used a Ziehl-Neelsen stain for Parkinson's disease.",
        "Barack Obama lives there. He likes Москва, Αθήνα and O'Brien; (In Paris, too.)",
    ],
    "acronym": [
        "However, IL-2, TNF-α, NF-κB, BRCA1, p53, mRNA and IgG rose in the U.S. during COVID-19.",
        "RESULTS: Cells grew. ALL OF THIS IS A HEADING. We used PCR.",
    ],
    "date": [
        "On May 5, 1998, on 5 May 1998 and on the 5th of May; in March 2019; from June 3-5; on Monday, 4 July.",
        "ISO 2019-03-05 and 2019-03-05T10:30, 05.03.2019, 3/5/19, 19th century, in October, 于2019年3月5日.",
    ],
    "year": ["Since 1998, in 1998-2004, in the 1990s, in 44 BC and AD 79."],
    "percentage": ["It fell by 15 %, 20.5%, 3-5% or 20 percent, two percentage points."],
    "amount": ["They paid $3 million, US$5, €20, 20 €, 3.5 billion euros or 300 dollars."],
    "quantity": [
        "Rats had 5 mg/kg for 3-5 days at 37 °C and pH 7.4; IC50 = 2.5 ± 0.3 µM, 5 cm3, 10 m2.",
        "It rose 2.5-fold in 12 months, over 3 km, with 50 kDa and 1.5 million years.",
    ],
    "number": ["We saw 1,500 patients and 3 million cells (p < 0.05), see Fig. 3 and Table 2; not 17-beta or v3.5.1."],
}


def found(text):
    """Return what the rule marks in a text, and as what."""
    spans = longest_first((start, stop, LABELS.index(label)) for start, stop, label in find_salient(text))
    return [
        (text[start:stop], LABELS[label])
        for start, stop, label in zip(*(column.tolist() for column in spans), strict=True)
    ]


INTRODUCTION = """\
# Salient spans

Each span is masked whole: the words that begin in it, with the hyphens and the punctuation between them. Where spans
overlap, the longest is taken. `masking.spans` says where they come from:

| spans | what is salient | needs |
|---|---|---|
| `rule` | names, acronyms, dates and numbers, see below | nothing |
| `gazetteer:PATH` | phrases in a text file, one per line; add a tab and a label if you like | the file |
| `spacy:PIPELINE` | the entities that a spaCy pipeline finds | `pip install 'diffmask[spacy]'`, a pipeline |
| `file:PATH` | spans that you or another tool marked: [file formats](annotations.md) | the file |

## What the rule finds

No span crosses the end of a line, and a capitalised word is not a name merely because it begins a sentence. The rule
knows English words only. Use one of the other sources for German, where every noun is capitalised, for scripts without
case, and wherever it matters what kind of name a span is.

| text | found |
|---|---|
"""


def table():
    """Return docs/salient.md."""
    texts = [text for texts in EXAMPLES.values() for text in texts]
    lines = [f"| {text} | {', '.join(f'`{words}` {label}' for words, label in found(text))} |" for text in texts]
    return INTRODUCTION + "\n".join(lines) + "\n"


def test_the_table_in_the_documentation_is_current():
    assert DOCS.read_text(encoding="utf-8") == table(), "see the top of this file"


EXPECTED = [
    ("The Bank of England", [("Bank of England", "name")]),
    ("A dog. The dog of Anna Smith.", [("Anna Smith", "name")]),
    ("Dogs bark. Cats don't. It's late: Cats sleep!", []),
    ("Barack Obama spoke.", [("Barack Obama", "name")]),
    ('"The Beatles" sang (In Paris).', [("Beatles", "name"), ("Paris", "name")]),
    ("He met John F. Kennedy, J.R.R. Tolkien.", [("John F. Kennedy", "name"), ("J.R.R. Tolkien", "name")]),
    ("Dr. J. R. Smith and Dr Wu", [("Dr. J. R. Smith", "name"), ("Dr Wu", "name")]),
    ("In group A. The IgG rose.", [("IgG", "acronym")]),
    ("CONCLUSIONS: MATERIALS AND METHODS: ok", []),
    ("A TITLE IN CAPITALS ONLY", []),
    ("on 5 May 1998, May 1998", [("5 May 1998", "date"), ("May 1998", "date")]),
    ("in the 1990s, 1998-2004, 44 BC", [("1990s", "year"), ("1998-2004", "year"), ("44 BC", "year")]),
    ("1500 mg, 1998", [("1500 mg", "quantity"), ("1998", "year")]),
    ("15 % and 20 percent", [("15 %", "percentage"), ("20 percent", "percentage")]),
    ("paid $3 million", [("$3 million", "amount")]),
    ("5 mg/kg at pH 7.4", [("5 mg/kg", "quantity"), ("pH 7.4", "quantity")]),
    ("1 as well, IL-2, 17-beta, 3.5.1", [("1", "number"), ("IL-2", "acronym")]),
    ("in New\nYork", [("New", "name")]),
    ("DNA, RNA, PCR and HIV", [("DNA", "acronym"), ("RNA", "acronym"), ("PCR", "acronym"), ("HIV", "acronym")]),
    ("细胞在2019年3月5日, 2019년", [("2019年3月5日", "date"), ("2019", "year")]),
    ("😀 naïve ﬁnal", []),
    ("", []),
]


@pytest.mark.parametrize(("text", "expected"), EXPECTED, ids=[text for text, _ in EXPECTED])
def test_what_is_found(text, expected):
    assert found(text) == expected


@pytest.mark.parametrize("label", LABELS)
def test_every_label_has_examples(label):
    assert any(name == label for text in EXAMPLES[label] for _, name in found(text))


ENDLESS = ["ACGT", "1", "A.", "AB-", "Ab-", "aB", "Ab ", "AB ", "1 ", "1,000", "Ab of ", "mg/", " ", "1-", "-"]


@pytest.mark.parametrize("piece", ENDLESS)
def test_endless_words_take_linear_time(piece):
    times = []
    for num_chars in (20_000, 80_000):
        text = f"{piece * (num_chars // len(piece))}_"
        start = time.process_time()
        find_salient(text)
        times.append(time.process_time() - start)
    assert times[1] < 8 * times[0] + 0.1, times  # four times the text; squared it would be sixteen


if __name__ == "__main__":
    DOCS.write_text(table(), encoding="utf-8")
