"""Measure how the package is built: sizes of folders and files, public names, imports against the layers, circles.

    python tools/measure_structure.py [FOLDER]

FOLDER is a checkout (default: the one that holds this file), so that two versions can be compared.
`tests/test_layering.py` fails on any import against the layers and on any circle.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

LAYERS = (
    ("__init__", "__main__"),
    ("cli",),
    ("quickstart", "reproduce"),
    ("modalities",),
    ("report",),
    ("pretrain", "evaluate", "selective", "bench"),
    ("assemble", "tasks"),
    ("train", "demo"),
    ("video_text",),
    ("text", "video", "policies"),
    ("files",),
    ("config",),
    ("core", "version"),
)
"""Parts of the package from top to bottom; a part may import those below it, and none beside it."""
LEVELS = {part: level for level, parts in enumerate(LAYERS) for part in parts}
SMALL_FILE = 60


def read_package(package: Path) -> dict[str, ast.Module]:
    """Return the syntax trees of all modules, by their names: diffmask.core.units, and diffmask.core for its face."""
    trees = {}
    for path in sorted(package.rglob("*.py")):
        parts = (package.name, *path.relative_to(package).with_suffix("").parts)
        name = ".".join(parts).removesuffix(".__init__")
        trees[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return trees


def part_of(module: str) -> str:
    """Return the part of the package that a module belongs to; `__init__` is the package's face."""
    return module.split(".")[1] if "." in module else "__init__"


def back_arrows(trees: Mapping[str, ast.Module]) -> list[str]:
    """Return a line for each import that points up or to the side, also within functions."""
    found = []
    for module, tree in trees.items():
        part = part_of(module)
        others = {part_of(name) for name in _names(ast.walk(tree)) if name.partition(".")[0] == "diffmask"}
        wrong = sorted(other for other in others - {part} if other in LEVELS and LEVELS[other] <= LEVELS.get(part, -1))
        found += [f"{module}: {part} may not import {other}" for other in wrong]
    return found


def module_circles(trees: Mapping[str, ast.Module]) -> list[list[str]]:
    """Return the groups of modules that import each other when they are loaded."""
    return _circles({module: _needs(_executed(tree), trees) - {module} for module, tree in trees.items()})


def folder_circles(trees: Mapping[str, ast.Module]) -> list[list[str]]:
    """Return the groups of folders whose modules import each other, also within functions; the package's face apart."""
    folders = {module: module.rpartition(".")[0] for module in trees}
    folders |= {folder: folder for folder in folders.values()}
    arrows: dict[str, set[str]] = {folder: set() for folder in folders.values()}
    for module, tree in trees.items():
        arrows[folders[module]] |= {folders[each] for each in _needs(ast.walk(tree), trees)} - {folders[module]}
    for folder in ("", "diffmask"):
        arrows.pop(folder, None)
    return _circles({folder: needed & arrows.keys() for folder, needed in arrows.items()})


def _names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield what the import statements among nodes name: modules, and MODULE.NAME for what is taken from one."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _needs(nodes: Iterable[ast.AST], trees: Mapping[str, ast.Module]) -> set[str]:
    """Return the modules of the package that import statements among nodes need."""
    names = _names(nodes)
    return {name if name in trees else name.rpartition(".")[0] for name in names} & trees.keys()


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run when a module is loaded: no bodies of functions, nothing for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _executed(node)


def _circles(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of nodes that can all be reached from each other."""
    reached = {node: _reachable(node, arrows) for node in arrows}
    found = {
        tuple(sorted(other for other in reached[node] if node in reached[other]))
        for node in arrows
        if node in reached[node]
    }
    return [list(each) for each in sorted(found)]


def _reachable(start: str, arrows: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = arrows[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def public_names(tree: ast.Module) -> list[str]:
    """Return the functions and classes of a module that have no underscore."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]


def num_dataclasses(tree: ast.Module) -> int:
    """Return the number of dataclasses at the top of a module."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return sum(any("dataclass" in ast.unparse(each) for each in node.decorator_list) for node in classes)


def measure(package: Path) -> list[tuple[str, str]]:
    """Return the rows of the table: what is measured, and the figure."""
    paths = sorted(package.rglob("*.py"))
    lines = [path.read_text(encoding="utf-8").count("\n") for path in paths]
    trees = read_package(package)
    folders = Counter(str(path.parent.relative_to(package.parent)) for path in paths)
    largest = ", ".join(f"{name} {number}" for name, number in folders.most_common(3))
    names = sum(len(public_names(tree)) for tree in trees.values())
    return [
        ("Python files", f"{len(paths):,}"),
        ("lines", f"{sum(lines):,}"),
        ("files in the largest folders", largest),
        (f"files of at most {SMALL_FILE} lines", str(sum(number <= SMALL_FILE for number in lines))),
        ("public functions and classes", f"{names:,}"),
        ("the same per 1,000 lines", f"{1000 * names / sum(lines):.1f}"),
        ("dataclasses", str(sum(map(num_dataclasses, trees.values())))),
        ("imports against the layers", str(len(back_arrows(trees)))),
        ("import circles of modules, when loaded", str(len(module_circles(trees)))),
        ("import circles of folders, also in functions", str(len(folder_circles(trees)))),
    ]


def main() -> None:
    """Print the table."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]
    if not (root / "diffmask").is_dir():
        sys.exit(f"{root} has no folder diffmask; give the folder of a checkout")
    rows = measure(root / "diffmask")
    width = max(len(name) for name, _ in rows)
    for name, figure in rows:
        print(f"{name:{width}}  {figure}")


if __name__ == "__main__":
    main()
