import ast
import functools
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import diffmask

REPO = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())
CONSTRAINTS = (REPO / "constraints.txt").read_text()
COMMANDS = ["tools/quickstart", "tools/test", "tools/check.sh", "tools/lock", ".ci/run"]


def read_pins():
    """Return for every pinned name its (version, number of hashes), one for each branch of Python versions."""
    pins = {}
    for block in re.split(r"\n(?=\S)", CONSTRAINTS):
        if not block.startswith("#"):
            requirement = Requirement(block.partition("\\")[0])
            (version,) = requirement.specifier
            assert version.operator == "==", f"{requirement} is not pinned"
            branch = (version.version, block.count("--hash=sha256:"))
            pins.setdefault(canonicalize_name(requirement.name), []).append(branch)
    return pins


def declared(*groups):
    extras = PROJECT["project"]["optional-dependencies"]
    tables = {"runtime": PROJECT["project"]["dependencies"], "build": PROJECT["build-system"]["requires"], **extras}
    return [Requirement(line) for group in groups for line in tables[group]]


def names_of(*groups):
    return {canonicalize_name(requirement.name) for requirement in declared(*groups)}


installed_names = functools.cache(packages_distributions)


def imported_distributions(path):
    """Yield, for every third-party import of a file, the names under which it may be installed."""
    for node in ast.walk(ast.parse(path.read_text())):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules = [node.module]
        for top in {module.partition(".")[0] for module in modules} - {"diffmask", "tests"} - sys.stdlib_module_names:
            yield {canonicalize_name(name) for name in installed_names().get(top, [top])}


def test_constraints_name_no_host_and_no_local_build():
    for word in ["://", "file:", " @ ", "--index", "--extra-index", "--find-links", "+cpu", "+cu"]:
        assert word not in CONSTRAINTS


def test_every_pin_has_a_hash():
    pins = read_pins()
    assert len(pins) > 50
    assert not [name for name, branches in pins.items() for _, num_hashes in branches if not num_hashes]


@pytest.mark.parametrize("requirement", declared("runtime", "video", "demo", "spacy", "test", "build"), ids=str)
def test_every_declared_dependency_is_pinned_as_declared(requirement):
    versions = [version for version, _ in read_pins()[canonicalize_name(requirement.name)]]
    assert all(requirement.specifier.contains(version) for version in versions)


def test_version_is_written_once():
    assert "version" not in PROJECT["project"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "diffmask.version.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", diffmask.__version__)


def test_changelog_has_the_current_version():
    headings = re.findall(r"^## \[(.+?)\]", (REPO / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:2] == ["Unreleased", diffmask.__version__]


EXTRAS = {"video": "video", "clips": "video", "quickstart": "demo", "spacy": "spacy", "torchcodec": "torchcodec"}
EXTRAS |= dict.fromkeys(("bench/clips", "probe_process", "read/readers"), "decord")


def test_imports_of_the_package_are_declared():
    # an extra may be imported only where the path of the file says so
    extras = {name: names_of(extra) for name, extra in EXTRAS.items()}

    def allowed(path):
        return names_of("runtime").union(
            *(names for word, names in extras.items() if word in str(path.relative_to(REPO)))
        )

    undeclared = {
        (str(path.relative_to(REPO)), *names)
        for path in (REPO / "diffmask").rglob("*.py")
        for names in imported_distributions(path)
        if not names & allowed(path)
    }
    assert not undeclared, "pyproject.toml does not declare these imports"


def test_imports_of_tests_and_tools_are_pinned():
    known = set(read_pins()) | {canonicalize_name(path.stem) for path in (REPO / "tests").rglob("*.py")} | {"support"}
    unpinned = {
        (str(path.relative_to(REPO)), *names)
        for path in [*(REPO / "tests").rglob("*.py"), *(REPO / "tools").glob("*.py")]
        for names in imported_distributions(path)
        if not names & known
    }
    assert not unpinned, "constraints.txt does not pin these imports"


@pytest.mark.parametrize("script", [*COMMANDS, "tools/environment.sh"])
def test_scripts_parse_and_commands_are_executable(script):
    subprocess.run(["bash", "-n", REPO / script], check=True)
    assert os.access(REPO / script, os.X_OK) == (script in COMMANDS)
