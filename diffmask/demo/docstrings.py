"""A corpus that is installed already: the documentation strings of Python packages, read from their source files.

No module of the packages is imported; their source is parsed.
"""

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from diffmask.core.errors import InputError
from diffmask.demo.prose import prose
from diffmask.files.folders import write_text

MIN_WORDS = 20
"""Shorter documents say too little to be one."""
HELD_OUT_SHARE = 0.06

_INTERNAL = ("tests", "test", "externals")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Documented(NamedTuple):
    """What is said about one function or class."""

    name: str
    """Where it is defined, such as scipy.stats._fit.fit."""
    label: str
    """Its subpackage, such as scipy.stats."""
    paragraphs: list[list[str]]
    """Sentences of each paragraph."""

    @property
    def text(self) -> str:
        """All of it, in one line."""
        return " ".join(sentence for sentences in self.paragraphs for sentence in sentences)


def find_package(name: str) -> Path | None:
    """Return the folder of an installed package's source, or None; the package is not imported."""
    found = importlib.util.find_spec(name)
    return Path(found.origin).parent if found is not None and found.origin else None


def read_docstrings(packages: Mapping[str, Path], subpackages: Mapping[str, Sequence[str]]) -> Iterator[Documented]:
    """Yield the prose on every public function and class, in order of files; no sentence comes twice.

    Args:
        packages: Name and source folder of each package.
        subpackages: Which parts to read of each package; all public ones of those that are not named.
    """
    seen: set[str] = set()
    for package, folder in packages.items():
        for path in _source_files(folder, subpackages.get(package)):
            module = [package, *path.relative_to(folder).with_suffix("").parts]
            for name, docstring in _docstrings(path.read_text(encoding="utf-8")):
                paragraphs = _unseen(prose(docstring), seen)
                document = Documented(".".join([*module, name]), ".".join(module[:2]), paragraphs)
                if len(document.text.split()) >= MIN_WORDS:
                    yield document


def is_held_out(document: Documented) -> bool:
    """Tell whether a document belongs to the held-out part, by its name."""
    # not a checksum: those of similar names lie close together
    digest = hashlib.blake2b(document.name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < HELD_OUT_SHARE * 2**64


def write_documents(documents: Iterable[Documented], path: Path) -> None:
    """Write one JSON object a line: text, label and name.

    Raises:
        InputError: If there is no document.
    """
    lines = [json.dumps({"text": each.text, "label": each.label, "name": each.name}) for each in documents]
    if not lines:
        raise InputError(f"there is no documentation string to write to {path}; install the packages with their source")
    write_text(path, "\n".join(lines) + "\n")


def _source_files(folder: Path, subpackages: Sequence[str] | None) -> list[Path]:
    """Return the files of the public subpackages; what is private inside these is read too: much is defined there."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).parts[:-1]
        public = bool(parts) and not parts[0].startswith("_") and not any(part in _INTERNAL for part in parts)
        if public and (subpackages is None or parts[0] in subpackages):
            found.append(path)
    return found


def _docstrings(source: str) -> Iterator[tuple[str, str]]:
    """Yield name and documentation string of every public function and class of a module, with those inside."""
    waiting: list[tuple[str, ast.AST]] = [("", ast.parse(source))]
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
    """Leave out the sentences that were seen before, and remember the others."""
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
