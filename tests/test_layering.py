"""Imports point down only: the layers of the package, read off its source."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "diffmask"
LAYERS = [
    {"__main__"},
    {"cli"},
    {"quickstart", "reproduce"},
    {"modalities"},
    {"report"},
    {"pretrain", "evaluate", "selective", "bench"},
    {"assemble", "tasks"},
    {"train", "demo"},
    {"text", "video", "policies"},
    {"files"},
    {"config"},
    {"core", "version"},
]
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
CORE_MAY_IMPORT = {"torch", "diffmask"}


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imports(source: str) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def violations(part: str, where: str, source: str) -> list[str]:
    found = []
    for name in imports(source):
        if not name.startswith("diffmask."):
            continue
        other = name.split(".")[1]
        if other not in LEVEL or other == part:
            continue
        below = LEVEL[other] > LEVEL[part]
        if not below:
            found.append(f"{where}: {part} may not import {other}")
    return found


def test_imports_point_down():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        part = part_of(path)
        if part != "__init__":
            assert part in LEVEL, f"{path.relative_to(PACKAGE)} belongs to no layer; add it to LAYERS"
            found += violations(part, str(path.relative_to(PACKAGE)), path.read_text())
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ("core", "from diffmask.text import words"),
        ("policies", "from diffmask.text.corpus.words import split_words"),
        ("text", "import diffmask.policies.uniform"),
        ("core", "from diffmask.config import read_config"),
        ("train", "from diffmask.report.html.page import write_page"),
    ],
)
def test_a_violation_is_named(part, line):
    other = next(name for name in imports(line)).split(".")[1]
    assert violations(part, f"{part}/x.py", line) == [f"{part}/x.py: {part} may not import {other}"]


def test_core_knows_torch_and_the_standard_library_only():
    import sys

    for path in sorted((PACKAGE / "core").glob("*.py")):
        roots = {name.split(".")[0] for name in imports(path.read_text())}
        foreign = roots - CORE_MAY_IMPORT - set(sys.stdlib_module_names)
        assert not foreign, f"{path.name} imports {foreign}"
