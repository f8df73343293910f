"""A self-contained HTML page: one file, no script, no network; light or dark as the reader's device asks."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from diffmask.core.errors import InputError
from diffmask.files.folders import write_text
from diffmask.report.html.style import style

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""What a browser may do with a page: show it, and nothing else."""
PICTURES = "; img-src data:"
"""Added where a page holds pictures: those inside of it may be shown."""


def escape(text: object) -> str:
    """Return text for HTML; everything that comes from data goes through here."""
    return html.escape(str(text), quote=True)


def prose(text: str) -> str:
    """Return text for HTML in which `words in backticks` are code, and long paths may be broken behind a slash."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", path_text(text))


def path_text(text: object) -> str:
    """Return text for HTML that may be broken behind a slash."""
    return escape(text).replace("/", "/<wbr>")


def page(title: str, sections: Iterable[str]) -> str:
    """Return a whole page.

    Args:
        title: Of the page, as text.
        sections: Its content, as HTML.
    """
    body = "\n".join(sections)
    # a tag is ours: of what comes from data every < is escaped
    policy = POLICY + PICTURES * ("<img " in body)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{escape(title)}</title>\n<style>{style()}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def header(title: str, lead: str, made_from: Sequence[tuple[str, str]] = ()) -> str:
    """Return the head of a page: its title, one sentence, and what it was made from."""
    listed = facts(made_from, "facts")
    return (
        f'<header><div class="brand">diffmask</div><h1>{escape(title)}</h1>'
        f'<p class="soft">{escape(lead)}</p>{listed}</header>'
    )


def section(title: str, *parts: str, anchor: str = "") -> str:
    """Return a section; the parts are HTML, and `anchor` is what links to it name."""
    place = f' id="{escape(anchor)}"' if anchor else ""
    return f"<section{place}><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def contents(titles: Mapping[str, str]) -> str:
    """Return links to the sections of a page, by anchor."""
    links = "".join(f'<li><a href="#{escape(anchor)}">{escape(title)}</a></li>' for anchor, title in titles.items())
    return f'<nav aria-label="On this page"><ul>{links}</ul></nav>'


def tiles(figures: Iterable[tuple[str, str, str]]) -> str:
    """Return the figures that matter most, each with its name before it and a note below."""
    shown = "".join(
        f'<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd><dd class="note">{escape(note)}</dd></div>'
        for name, value, note in figures
    )
    return f'<dl class="tiles">{shown}</dl>' if shown else ""


def folded(title: str, *parts: str) -> str:
    """Return parts that are shown when they are asked for."""
    return f"<details><summary>{escape(title)}</summary>{''.join(parts)}</details>"


def facts(pairs: Iterable[tuple[str, str]], kind: str = "list") -> str:
    """Return names and values below each other."""
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="{kind}">{rows}</dl>' if rows else ""


def paragraph(text: str, kind: str = "soft") -> str:
    """Return a paragraph of text."""
    return f'<p class="{kind}">{escape(text)}</p>'


def code(text: str) -> str:
    """Return a block of code."""
    return f"<pre><code>{escape(text)}</code></pre>"


def table(head: Sequence[str], rows: Iterable[str], *, num_texts: int = 1) -> str:
    """Return a table in a card that scrolls on its own; rows are HTML, the first columns are text."""
    cells = "".join(
        f'<th{number_class(index >= num_texts)} scope="col">{escape(name)}</th>' for index, name in enumerate(head)
    )
    body = "".join(rows)
    # what scrolls can be reached with the keyboard
    return (
        '<div class="card scroll" tabindex="0">'
        f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"
    )


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
    write_text(path, text, errors="xmlcharrefreplace")
