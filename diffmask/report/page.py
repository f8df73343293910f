"""A self-contained HTML page: one file, no script, no network; light or dark as the reader's device asks."""

import html
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from diffmask.core.errors import InputError
from diffmask.report.style import style


def escape(text: object) -> str:
    """Return text for HTML; everything that comes from data goes through here."""
    return html.escape(str(text), quote=True)


def page(title: str, sections: Iterable[str]) -> str:
    """Return a whole page.

    Args:
        title: Of the page, as text.
        sections: Its content, as HTML.
    """
    body = "\n".join(sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style()}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def header(title: str, lead: str, facts: Sequence[tuple[str, str]] = ()) -> str:
    """Return the head of a page: its title, one sentence, and what it was made from."""
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    listed = f'<dl class="facts">{rows}</dl>' if rows else ""
    return (
        f'<header><div class="brand">diffmask</div><h1>{escape(title)}</h1>'
        f'<p class="soft">{escape(lead)}</p>{listed}</header>'
    )


def section(title: str, *parts: str) -> str:
    """Return a section; the parts are HTML."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def paragraph(text: str, kind: str = "soft") -> str:
    """Return a paragraph of text."""
    return f'<p class="{kind}">{escape(text)}</p>'


def code(text: str) -> str:
    """Return a block of code."""
    return f"<pre><code>{escape(text)}</code></pre>"


def table(head: Sequence[str], rows: Iterable[str]) -> str:
    """Return a table in a card that scrolls on its own; rows are HTML, the first column is text."""
    cells = "".join(
        f"<th{number_class(index > 0)} scope=col>{escape(name)}</th>".replace("scope=col", 'scope="col"')
        for index, name in enumerate(head)
    )
    body = "".join(rows)
    return f'<div class="card scroll"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


def number_class(is_number: bool) -> str:
    """Return the attribute of a cell that holds a number."""
    return ' class="number"' if is_number else ""


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse to write over what exists, before the work is done.

    Raises:
        InputError: If the path exists and may not be replaced, or its folder is missing.
    """
    if path.is_dir():
        raise InputError(f"the output {path} is a folder; give the name of a page such as {path / 'preview.html'}")
    if path.exists() and not overwrite:
        raise InputError(f"the output {path} exists; use --overwrite to replace it, or give another name with -o")
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} of the output does not exist; make it first")


def write_page(text: str, path: Path) -> None:
    """Write a page, under its name only once it is whole."""
    draft = path.with_name(path.name + ".tmp")
    draft.write_text(text, encoding="utf-8", errors="xmlcharrefreplace")
    os.replace(draft, path)
