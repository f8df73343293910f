"""docs/words.md says what the tests hold. `PYTHONPATH=.:tests python tests/text/test_word_table.py` writes it."""

from pathlib import Path

from support.families import FAMILIES, SAMPLES, tokenizer_of, units_of

DOCS = Path(__file__).parents[2] / "docs" / "words.md"
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


def test_the_table_in_the_documentation_is_current():
    assert DOCS.read_text(encoding="utf-8") == table(), "see the top of this file"


if __name__ == "__main__":
    DOCS.write_text(table(), encoding="utf-8")
