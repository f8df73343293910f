"""A corpus that is already installed: the docstrings of Python packages, read from their source files.

    write_documents(read_docstrings({"scipy": folder}, {}), Path("scipy.jsonl"))

The source is parsed, and nothing of the packages is imported. The sentences of a docstring are kept; code, tables,
formulas and markup are not.
"""

import ast
import hashlib
import importlib.util
import json
import logging
import platform
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from diffmask.core.errors import InputError
from diffmask.files.folders import write_text

_logger = logging.getLogger(__name__)

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


def _prose(docstring: str) -> list[list[str]]:
    r"""Return the paragraphs of a docstring (NumPy, Google or plain style) as lists of whole sentences.

    >>> _prose("Fit a line.\n\nThe slope is found by least squares. See `a`.\n\n>>> fit(1)\n2")
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
    """Yield the lines of each paragraph of text; each item of a list is a paragraph."""
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
    """Yield the lines that hold text; an empty line stands for what is left out, and before each item of a list."""
    in_section, in_doctest = False, False
    skipped: int | None = None  # lines that are indented deeper than this are left out
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


MIN_DOCUMENT_WORDS = 20
"""Shorter documents are left out."""
HELD_OUT_SHARE = 0.06

_INTERNAL = ("tests", "test", "externals")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Documented(NamedTuple):
    """The prose about one function or class."""

    name: str
    """Its full name, such as scipy.stats._fit.fit."""
    label: str
    """Its subpackage, such as scipy.stats."""
    paragraphs: list[list[str]]
    """The sentences of each paragraph."""

    @property
    def text(self) -> str:
        """All sentences in one line."""
        return " ".join(sentence for sentences in self.paragraphs for sentence in sentences)

    @property
    def is_held_out(self) -> bool:
        """Whether it belongs to the held-out part, which its name decides."""
        # a hash, since the checksums of similar names are close to each other
        digest = hashlib.blake2b(self.name.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < HELD_OUT_SHARE * 2**64


def find_package(name: str) -> Path | None:
    """Return the folder of a package's source, or None if it is not installed; the package is not imported."""
    found = importlib.util.find_spec(name)
    return Path(found.origin).parent if found is not None and found.origin else None


def read_docstrings(packages: Mapping[str, Path], subpackages: Mapping[str, Sequence[str]]) -> Iterator[Documented]:
    """Yield the prose about every public function and class, in order of files; no sentence occurs twice.

    Files that this version of Python cannot parse are skipped, and their number is logged.

    Args:
        packages: Source folder of each package, by name.
        subpackages: Names of the subpackages to read, by package; all public ones if a package is not listed.
    """
    seen: set[str] = set()
    for package, folder in packages.items():
        skipped: list[Path] = []
        for path in _source_files(folder, subpackages.get(package)):
            module = [package, *path.relative_to(folder).with_suffix("").parts]
            for name, docstring in _docstrings(path, skipped):
                paragraphs = _unseen(_prose(docstring), seen)
                document = Documented(".".join([*module, name]), ".".join(module[:2]), paragraphs)
                if len(document.text.split()) >= MIN_DOCUMENT_WORDS:
                    yield document
        if skipped:
            version = platform.python_version()
            _logger.warning("%d files of %s are skipped: Python %s cannot parse them", len(skipped), package, version)


def write_documents(documents: Iterable[Documented], path: Path) -> None:
    """Write one line of JSON per document: text, label and name.

    Raises:
        InputError: If there is no document.
    """
    lines = [json.dumps({"text": each.text, "label": each.label, "name": each.name}) for each in documents]
    if not lines:
        raise InputError(
            f"there are no documentation strings to write to {path}; install the packages with their source"
        )
    write_text(path, "\n".join(lines) + "\n")


def _source_files(folder: Path, subpackages: Sequence[str] | None) -> list[Path]:
    """Return the files of the public subpackages, with their private modules, where much of them is defined."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).parts[:-1]
        public = bool(parts) and not parts[0].startswith("_") and not any(part in _INTERNAL for part in parts)
        if public and (subpackages is None or parts[0] in subpackages):
            found.append(path)
    return found


def _docstrings(path: Path, skipped: list[Path]) -> Iterator[tuple[str, str]]:
    """Yield name and docstring of every public function and class of a module, and of those within public classes.

    Args:
        path: The file; some are for newer versions of Python, or are templates of code.
        skipped: It is added here if it cannot be parsed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as those on escapes in strings
            module = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        skipped.append(path)
        return
    waiting: list[tuple[str, ast.AST]] = [("", module)]
    while waiting:
        where, node = waiting.pop(0)
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, _DEFINITIONS) or child.name.startswith("_"):
                continue
            docstring = ast.get_docstring(child)
            if docstring:
                yield where + child.name, docstring
            if isinstance(child, ast.ClassDef):
                waiting.append((f"{where}{child.name}.", child))


def _unseen(paragraphs: list[list[str]], seen: set[str]) -> list[list[str]]:
    """Leave out sentences that were seen before, and remember the others."""
    kept = []
    for sentences in paragraphs:
        new = []
        for sentence in sentences:
            key = " ".join(sentence.lower().split())
            if key not in seen:
                seen.add(key)
                new.append(sentence)
        if new:
            kept.append(new)
    return kept
