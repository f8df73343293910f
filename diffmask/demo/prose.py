"""Prose: the sentences of a documentation string, without the code, tables, formulas and markup around them."""

import re
from collections.abc import Iterator
from itertools import pairwise

_DROPPED_SECTIONS = {"examples", "example", "raises", "references", "see also", "methods", "warns"}
_SECTIONS = _DROPPED_SECTIONS | {
    "args", "arguments", "attributes", "attribute", "inputs", "keyword args", "keyword arguments", "note", "notes",
    "other parameters", "outputs", "parameters", "return", "returns", "shape", "warning", "warnings", "yields",
}  # fmt: skip
_KEPT_DIRECTIVES = ("note", "warning", "versionchanged", "important", "tip", "caution", "attention")

_UNDERLINE = re.compile(r"\s*([-=~^*#+])\1{2,}\s*")
_DIRECTIVE = re.compile(r"\s*\.\.(?:\s+([\w-]+)::|\s|$)")
_NO_TEXT = re.compile(
    r"\s*(?:$|[-=+|][-=+|\s]{3,}$|\|.*\|$|=+ +=+"  # blank, or of a table
    r"|[*\w][\w*, .\[\]{}'-]* : )"  # the name and the kind of a parameter
)
_LABEL = re.compile(
    r"\s*(?:[-*+\u2022]\s+(?=\S)|\(?[0-9a-z]{1,2}[.)]\s+(?=\S)"  # a bullet, a number
    r"|[*`\w][\w*`.]*(?:\s\([^()]*(?:\([^()]*\)[^()]*)*\))?\s*:\s+(?=\S)"  # name (kind): ...
    r"|:(?:param|type|returns?|rtype|raises?|arg)\b[^:]*:\s*)"
)

_INLINE = [
    (re.compile(r":math:`([^`]*)`"), lambda found: found[1] if re.fullmatch(r"[\w ]{1,12}", found[1]) else "\0"),
    (re.compile(r":[\w:+-]+:`~([^`<>]*?)([^`.<>]+)`"), r"\2"),
    (re.compile(r":[\w:+-]+:`([^`<]+?)\s*<[^`>]*>`"), r"\1"),
    (re.compile(r"`([^`<]+?)\s*<[^`>]*>`__?"), r"\1"),
    (re.compile(r"(:[\w:+-]+:)?`{1,2}([^`]*)`{1,2}_{0,2}"), r"\2"),
    (re.compile(r"\s*\[[\w, ]+\]_"), ""),
    (re.compile(r"\*\*?(?=\S)([^*]+)(?<=\S)\*\*?"), r"\1"),
    (re.compile(r"\|(\w+)\|"), r"\1"),
    (re.compile(r"\s+"), " "),
]
_SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bal\.)(?<!\bvs\.)(?<!\bcf\.)(?<!\bresp\.)\s+(?=[A-Z\"'(])"
)
_ODD = re.compile(r"[\0\\$<>{}=^~|]|::|https?:|\.\.\.|--|__|\*\*|[\[\]()]{3}|\(\)|\[\d+\]|\w\.\w+\.\w")
MIN_WORDS, MAX_WORDS = 6, 60


def prose(docstring: str) -> list[list[str]]:
    r"""Return the paragraphs of a documentation string (NumPy, Google or plain), as lists of whole sentences.

    >>> prose("Fit a line.\n\nThe slope is found by least squares. See `a`.\n\n>>> fit(1)\n2")
    [['The slope is found by least squares.']]
    """
    lines = [line.rstrip() for line in docstring.splitlines()]
    paragraphs = ([*filter(_is_sentence, _sentences(paragraph))] for paragraph in _paragraphs(lines))
    return [sentences for sentences in paragraphs if sentences]


def _sentences(lines: list[str]) -> list[str]:
    text = " ".join(lines)
    for pattern, replacement in _INLINE:
        text = pattern.sub(replacement, text)
    return _SENTENCE_END.split(text.strip())


def _is_sentence(text: str) -> bool:
    """Tell prose from fragments, code and formulas."""
    words = text.split()
    if not MIN_WORDS <= len(words) <= MAX_WORDS or not text[0].isupper() or text[-1] not in ".!?" or _ODD.search(text):
        return False
    return sum(word.strip(",.;:()'\"").isalpha() for word in words) >= 0.75 * len(words)


def _paragraphs(lines: list[str]) -> Iterator[list[str]]:
    """Yield the lines of each paragraph of text; an item of a list is a paragraph."""
    paragraph: list[str] = []
    indent = 0
    for line in [*_text_lines(lines), ""]:
        depth = _depth(line)
        hangs = len(paragraph) == 1 and depth > indent  # the second line of an item says how far it is indented
        if paragraph and (not line or (depth != indent and not hangs)):
            yield paragraph
            paragraph = []
        if line:
            paragraph.append(line[label.end() :] if (label := _LABEL.match(line)) and not paragraph else line)
            indent = depth


def _text_lines(lines: list[str]) -> Iterator[str]:
    """Yield the lines that hold text; an empty one stands for what is left out, and before each item of a list."""
    in_section, in_doctest = False, False
    skipped: int | None = None  # what is indented deeper than this is left out
    for line, following in pairwise([*lines, ""]):
        depth, title = _depth(line), line.strip().rstrip(":").lower()
        in_doctest = bool(title) and (in_doctest or title.startswith(">>>"))
        if title and skipped is not None and depth > skipped:
            continue
        skipped = None if title else skipped
        is_header = bool(title) and (_UNDERLINE.fullmatch(following) or (title in _SECTIONS and line.endswith(":")))
        if is_header and not line.endswith(":"):
            in_section = title in _DROPPED_SECTIONS  # until the next header; other styles indent their sections
        directive = _DIRECTIVE.match(line)
        opens_code = directive[1] not in _KEPT_DIRECTIVES if directive else line.endswith("::")
        if opens_code or title in _DROPPED_SECTIONS:
            skipped = depth
        no_text = in_section or in_doctest or is_header or directive or _NO_TEXT.match(line)
        if no_text or _LABEL.match(line):
            yield ""
        if not no_text:
            yield line


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())
