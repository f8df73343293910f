"""The map of the project is right: what README, CONTRIBUTING and docs name is there."""

import importlib
import importlib.util
import re
from pathlib import Path

import pytest
from test_layering import PACKAGE, tool

ROOT = Path(__file__).parents[1]
MAP = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TOPS = ("configs", "diffmask", "docs", "tests", "tools")


WRITTEN = {"diffmask/policies/long_words.py"}
"""Files that a guide has its reader write."""


def blocks(text):
    return re.findall(r"^```\w*\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_exist(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(rf"(?<![\w/.-])(?:{'|'.join(TOPS)})/[\w./-]*\w/?", text)
    missing = [path for path in sorted({*named} - WRITTEN) if not (ROOT / path).exists()]
    assert not missing, f"{page.name} names {', '.join(missing)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_the_drawing_names_files_of_the_package():
    drawn = re.findall(r"(?<![\w/.-])[a-z]\w*/[\w./]*\w/?", blocks(MAP)[0])
    assert len(drawn) > 20
    missing = [path for path in drawn if not (PACKAGE / path).exists()]
    assert not missing, f"the drawing names {', '.join(missing)}"


def test_the_layers_are_those_of_the_test():
    drawn = [set(re.split(r"\s{3}", line.split("    ")[0].strip())) for line in blocks(MAP)[1].splitlines()]
    assert drawn == [set(parts) for parts in tool.LAYERS[1:]]


def test_the_readme_has_every_folder():
    tree = next(block for block in blocks((ROOT / "README.md").read_text(encoding="utf-8")) if "diffmask/\n" in block)
    listed = set(re.findall(r"^  (\w+)/", tree, flags=re.MULTILINE))
    assert listed == {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    for path in re.findall(r"`((?:\w+/)+\w+\.py)`", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert (ROOT / path).exists() or (PACKAGE / path).exists(), path


def path_of(module):
    return module.replace(".", "/") + ".py"


def is_there(name):
    """Return whether a dotted name is a module of the package, or something in one."""
    module, _, attribute = name.rpartition(".")
    if not module or importlib.util.find_spec(module) is None:
        return name == "diffmask"
    has_paths = importlib.util.find_spec(module).submodule_search_locations is not None
    found = has_paths and importlib.util.find_spec(name) is not None
    return found or hasattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_exist(page):
    named = set(re.findall(r"(?<![\w/.-])diffmask(?:\.[A-Za-z_]\w*)+", page.read_text(encoding="utf-8")))
    missing = [name for name in sorted(named) if path_of(name) not in WRITTEN and not is_there(name)]
    assert not missing, f"{page.name} names {', '.join(missing)}"
