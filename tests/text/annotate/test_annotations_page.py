"""docs/annotations.md is true. `PYTHONPATH=.:tests python tests/text/annotate/test_annotations_page.py` writes it."""

import json
from pathlib import Path

from diffmask.text.annotate.span_file import _parse_line
from diffmask.text.annotate.word_classes import SHAPES, TF_ICF_NAMES, frequency_classes, read_lexicon

DOCS = Path(__file__).parents[3] / "docs" / "annotations.md"
TEXT = "Rats slept."
SPELLINGS = {
    "start, end, label": {"text": TEXT, "spans": [[0, 4, "NOUN"]]},
    "Prodigy": {"text": TEXT, "spans": [{"start": 0, "end": 4, "label": "NOUN"}], "answer": "accept"},
    "doccano": {"text": TEXT, "label": [[0, 4, "NOUN"]]},
    "doccano, with relations": {"text": TEXT, "entities": [{"start_offset": 0, "end_offset": 4, "label": "NOUN"}]},
    "Label Studio": {"text": TEXT, "label": [{"start": 0, "end": 4, "labels": ["NOUN"]}]},
    "spaCy": [TEXT, {"entities": [[0, 4, "NOUN"]]}],
}
LEXICON = "rats\tNOUN\nslept\tVERB\n.\tPUNCT\n"


def page():
    """Return docs/annotations.md."""
    names = {
        "frequency": f"general frequency in Zipf, log10 of a billion words: {', '.join(frequency_classes().names)}",
        "tf-icf": f"how many times its general frequency: {', '.join(TF_ICF_NAMES)}",
        "shape": ", ".join(SHAPES),
        "spacy:PIPELINE": "the 17 universal parts of speech",
        "file:PATH": "those of the file",
    }
    needs = {
        "frequency": "nothing; `frequency:de` for another language",
        "tf-icf": "anchors",
        "shape": "nothing",
        "spacy:PIPELINE": "`pip install 'diffmask[spacy]'`, and a pipeline: `python -m spacy download en_core_web_sm`",
        "file:PATH": "a file, see below",
    }
    return "\n".join(
        [
            "# Classes of words, and files of annotations",
            "",
            "Loss-weighted masking follows the loss of classes of words. `masking.classes` says which:",
            "",
            "| classes | which they are | needs |",
            "|---|---|---|",
            *(f"| `{name}` | {names[name]} | {needs[name]} |" for name in names),
            "",
            "Where spans or a pipeline's tokens are cut otherwise than words, the first character of a word decides.",
            "",
            "## Annotated texts",
            "",
            "A `.jsonl` with one document in each line, for classes and for [salient spans](salient.md). Offsets count",
            "characters from 0; the end lies behind the span. These spellings are read:",
            "",
            "| tool | line |",
            "|---|---|",
            *(f"| {tool} | `{json.dumps(row)}` |" for tool, row in SPELLINGS.items()),
            "",
            "A document is found by its text, so that the order of the files does not matter. Every document of the",
            "corpus has to be there, whole and letter for letter, if need be with an empty list.",
            "",
            "## Words and classes",
            "",
            "A `.tsv` or `.csv` with a word, in whatever case, and its class in each line; other words have none.",
            "",
            "```",
            LEXICON + "```",
            "",
        ]
    )


def test_the_page_is_current():
    assert DOCS.read_text(encoding="utf-8") == page(), "see the top of this file"


def test_its_examples_are_read(tmp_path):
    for row in SPELLINGS.values():
        document = _parse_line("line 1", json.dumps(row).encode())
        assert document is not None
        assert document.text == TEXT
        assert document.spans == [(0, 4, "NOUN")]
    path = tmp_path / "words.tsv"
    path.write_text(LEXICON, encoding="utf-8")
    assert read_lexicon(path).names == ("NOUN", "PUNCT", "VERB")


if __name__ == "__main__":
    DOCS.write_text(page(), encoding="utf-8")
