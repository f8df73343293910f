"""YAML as settings need it, within bounds: no key twice, no text that unfolds without end, and a date is a text."""

from pathlib import Path
from typing import Any

import yaml

from diffmask.core.errors import InputError

_MOST_BYTES = 1 << 20
_MOST_NODES = 100_000
"""Of values and keys; one that is repeated by an alias counts each time."""
_MOST_DEPTH = 50


class _Loader(yaml.SafeLoader):
    """The safe loader of PyYAML, with bounds, without dates, and without keys that replace earlier ones."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as PyYAML has it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str):
        super().__init__(text)
        self._depth = self._num_nodes = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node, unless there are too many, one in another or one after the other."""
        is_alias, mark, before = self.check_event(yaml.AliasEvent), self.peek_event().start_mark, self._num_nodes
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"more than {_MOST_DEPTH} groups lie in one another", problem_mark=mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias and id(node) not in self._sizes:
            raise yaml.MarkedYAMLError(problem="a group lies in itself", problem_mark=mark)
        self._num_nodes += self._sizes[id(node)] if is_alias else 1
        self._sizes[id(node)] = self._num_nodes - before
        if self._num_nodes > _MOST_NODES:
            raise yaml.MarkedYAMLError(problem=f"it holds more than {_MOST_NODES:,} values", problem_mark=mark)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Construct a mapping in which no key comes twice."""
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key `{key.value}` comes twice", problem_mark=key.start_mark)
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:
    """Return what YAML says.

    Raises:
        ValueError: If it is none, or is out of bounds; the message is one line.
    """
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises:
        InputError: If it is no YAML file, or is out of bounds.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a YAML file of `key: value` lines")
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise InputError(f"{path} is larger than {_MOST_BYTES >> 20} MB, so it is no file of settings; give another")
    try:
        return parse_yaml(content.decode("utf-8-sig"))
    except ValueError as error:
        raise InputError(f"{path} is not a YAML file ({error}); write `key: value` lines") from error
