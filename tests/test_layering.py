"""Imports point down only and never in a circle: read off the package's source by the tool that also measures it."""

import ast
import importlib.util
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]
PACKAGE = REPO / "diffmask"
CORE_MAY_IMPORT = {"torch", "diffmask"}
MACHINE_MAY_IMPORT = {"psutil"}


def load_tool():
    spec = importlib.util.spec_from_file_location("measure_structure", REPO / "tools" / "measure_structure.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load_tool()


@pytest.fixture(scope="module")
def package():
    return tool.read_package(PACKAGE)


def parsed(**sources):
    return {f"diffmask.{name.replace('__', '.')}": ast.parse(source) for name, source in sources.items()}


def test_imports_point_down(package):
    for name in package:
        assert tool.part_of(name) in tool.LEVELS, f"{name} belongs to no layer; add it to LAYERS"
    found = tool.back_arrows(package)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("part", "line", "other"),
    [
        ("core", "from diffmask.text import words", "text"),
        ("policies", "from diffmask.text.corpus.words import split_words", "text"),
        ("text", "import diffmask.policies.uniform", "policies"),
        ("core", "from diffmask.config import read_config", "config"),
        ("train", "from diffmask.report.html.page import write_page", "report"),
        ("train", "def later():\n    from diffmask.report.html.page import write_page", "report"),
        ("train", "import diffmask", "__init__"),
    ],
)
def test_a_violation_is_named(part, line, other):
    assert tool.back_arrows(parsed(**{f"{part}__x": line})) == [f"diffmask.{part}.x: {part} may not import {other}"]


def test_modules_do_not_import_each_other_in_a_circle(package):
    found = tool.module_circles(package)
    assert not found, "\n".join(f"{', '.join(circle)} import each other" for circle in found)


def test_folders_do_not_import_each_other_in_a_circle(package):
    found = tool.folder_circles(package)
    assert not found, "\n".join(f"{', '.join(circle)} import each other" for circle in found)


def test_a_circle_is_named():
    modules = parsed(
        a="from diffmask.b import one",
        b="try:\n    from diffmask import c\nexcept ImportError:\n    pass",
        c="from diffmask.a import two",
        d="from diffmask.a import two",
    )
    assert tool.module_circles(modules) == [["diffmask.a", "diffmask.b", "diffmask.c"]]


@pytest.mark.parametrize(
    "source",
    ["def later():\n    from diffmask.a import two", "if TYPE_CHECKING:\n    from diffmask.a import Two"],
)
def test_what_is_not_imported_on_loading_makes_no_circle(source):
    assert tool.module_circles(parsed(a="from diffmask.b import one", b=source)) == []


def test_folders_make_a_circle_by_imports_in_functions_too():
    there = {"text__a__x": "from diffmask.text.b.y import one", "text__b__y": "", "text__c__z": ""}
    assert tool.folder_circles(parsed(**there)) == []
    back = there | {"text__b__w": "def later():\n    from diffmask.text.a import x"}
    assert tool.folder_circles(parsed(**back)) == [["diffmask.text.a", "diffmask.text.b"]]


def test_core_knows_torch_and_the_standard_library_only():
    for path in sorted((PACKAGE / "core").glob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
        foreign = {name.split(".")[0] for name in names} - CORE_MAY_IMPORT - set(sys.stdlib_module_names)
        if path.name == "machine.py":
            foreign -= MACHINE_MAY_IMPORT
        assert not foreign, f"{path.name} imports {foreign}"


def test_the_structure_is_measured(tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "__init__.py").write_text('"""Face."""\n')
    (tmp_path / "text" / "a.py").write_text(
        "from dataclasses import dataclass\n\n\n@dataclass(frozen=True)\nclass A:\n    x: int\n\n\n"
        "def public():\n    def inner(): ...\n\n\ndef _private(): ...\n" + "\n" * 60
    )
    figures = dict(tool.measure(tmp_path))
    assert figures["Python files"] == "2" and figures["lines"] == "74"
    assert figures["files of at most 60 lines"] == "1" and figures["dataclasses"] == "1"
    assert figures["public functions and classes"] == "2" and figures["the same per 1,000 lines"] == "27.0"
    assert figures["files in the largest folders"].count(" 1") == 2


def test_the_table_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["measure_structure"])
    tool.main()
    assert "import circles of modules" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["measure_structure", "nowhere"])
    with pytest.raises(SystemExit, match="nowhere has no folder diffmask; give the folder of a checkout"):
        tool.main()
