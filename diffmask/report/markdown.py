"""Tables and texts in Markdown, whose own markup is escaped."""

import html
import re
from collections.abc import Iterable, Sequence

TEXTS = ("name", "continued", "against", "verdict")
"""Columns of anything but numbers."""


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; markup in cells is escaped."""
    rule = ["---" if name in TEXTS else "---:" for name in head]
    lines = [head, rule, *([mark(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def mark(text: str) -> str:
    """Return text whose markup Markdown leaves alone."""
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", html.escape(" ".join(text.split())).replace("&#x27;", "'"))
