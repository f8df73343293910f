"""docs/annotations.md is true. `PYTHONPATH=.:tests python tests/text/test_annotations_page.py` writes it."""

import json
from pathlib import Path

from diffmask.text.annotate.span_file import parse_line
from diffmask.text.annotate.word_classes import SHAPES, FrequencyClasses, TfIcfClasses, read_lexicon

DOCS = Path(__file__).parents[2] / "docs" / "annotations.md"
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
        "frequency": "general frequency in Zipf (log10 of occurrences per billion words): "
        + ", ".join(FrequencyClasses().names),
        "tf-icf": f"frequency in the domain over general frequency: {', '.join(TfIcfClasses({}, '').names)}",
        "shape": ", ".join(SHAPES),
        "spacy:PIPELINE": "the 17 universal parts of speech",
        "file:PATH": "the classes in the file",
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
            "Loss-weighted masking follows the loss of each class of words. `masking.classes` says which classes:",
            "",
            "| `masking.classes` | the classes | needs |",
            "|---|---|---|",
            *(f"| `{name}` | {names[name]} | {needs[name]} |" for name in names),
            "",
            "Where the boundaries of spans or of a pipeline's tokens differ from those of words, the first character",
            "of a word decides.",
            "",
            "## Annotated texts",
            "",
            "A `.jsonl` file with one document per line serves for classes and for [salient spans](salient.md).",
            "Offsets count characters from 0, and the end is the first character after the span. These formats are",
            "read:",
            "",
            "| tool | line |",
            "|---|---|",
            *(f"| {tool} | `{json.dumps(row)}` |" for tool, row in SPELLINGS.items()),
            "",
            "A document is found by its text, so the order does not matter. Every document of the corpus has to be",
            "there, complete and unchanged to the letter, with an empty list if nothing in it is marked.",
            "",
            "## Words and classes",
            "",
            "A `.tsv` or `.csv` file with one word and its class per line. The case of a word does not matter, and",
            "words that are not listed have no class.",
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
        document = parse_line("line 1", json.dumps(row).encode())
        assert document is not None
        assert document.text == TEXT
        assert document.spans == [(0, 4, "NOUN")]
    path = tmp_path / "words.tsv"
    path.write_text(LEXICON, encoding="utf-8")
    assert read_lexicon(path).names == ("NOUN", "PUNCT", "VERB")


if __name__ == "__main__":
    DOCS.write_text(page(), encoding="utf-8")
