"""Worker processes start quickly: what they import needs neither torch nor transformers."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

TEXT = Path(__file__).parents[2] / "diffmask" / "text"
FOLDERS = ("corpus", "ngrams", "annotate")
"""All of these, and what makes rows, is imported by the processes that count and tokenise."""
MODULES = [f"{folder}.{path.stem}" for folder in FOLDERS for path in sorted((TEXT / folder).glob("[a-z]*.py"))]
MODULES += ["segment.segmenter", "segment.rows", "segment.tokenise"]
HEAVY = ("torch", "transformers", "datasets", "sklearn", "spacy", "wordfreq", "matplotlib")


def test_what_workers_import_is_light():
    imports = "; ".join(f"import diffmask.text.{module}" for module in MODULES)
    code = f"import sys; {imports}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["sklearn", "spacy", "matplotlib", "wordfreq"])
def test_packages_for_one_purpose_are_imported_where_they_are_used(name):
    for path in sorted(TEXT.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert name not in {each.split(".")[0] for each in names}, f"{path} imports {name} when it is imported"
