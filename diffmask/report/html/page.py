"""A page: one HTML file, without script or network, light or dark as the reader's device asks.

What is shown stands in templates/, which escape whatever data holds; Python computes it.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from diffmask.core.errors import InputError
from diffmask.files.folders import write_text
from diffmask.report.figures.figures import DARK, DARK_INK, LIGHT, LIGHT_INK, NUM_LEVELS, level

_UNITS = [(1e3, "kB"), (1e6, "MB"), (1e9, "GB")]


def path_text(text: object) -> Markup:
    """Return text that may be broken behind a slash."""
    return escape(text).replace("/", Markup("/<wbr>"))


def prose(text: object) -> Markup:
    """Return text in which `words in backticks` are code, and long paths may be broken behind a slash."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(path_text(text))))


def duration(seconds: float) -> str:
    """Return a time as people say it.

    >>> duration(7.26), duration(124), duration(7384)
    ('7.3 s', '2 min 4 s', '2 h 3 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def _size(num_bytes: float) -> str:
    """Return a size as people say it.

    >>> _size(812), _size(1121208)
    ('812 bytes', '1.1 MB')
    """
    if num_bytes < 1000:
        return f"{num_bytes} bytes"
    power, unit = next((each for each in _UNITS if num_bytes < 1000 * each[0]), _UNITS[-1])
    return f"{num_bytes / power:.1f} {unit}"


def _number(value: float, digits: int = 0) -> str:
    return f"{value:,.{digits}f}"


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


_ENVIRONMENT = Environment(
    loader=PackageLoader("diffmask.report.html"),
    autoescape=True,  # of every template, whatever its name
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "prose": prose,
    "path": path_text,
    "duration": duration,
    "size": _size,
    "number": _number,
    "percent": _percent,
}
_ENVIRONMENT.globals |= {
    "light": LIGHT,
    "light_ink": LIGHT_INK,
    "dark": DARK,
    "dark_ink": DARK_INK,
    "num_levels": NUM_LEVELS,
    "level": level,
}


def macros(template: str) -> Any:
    """Return the macros of a template; each returns HTML in which its arguments are escaped."""
    return _ENVIRONMENT.get_template(template).module


def page(title: str, sections: Iterable[str]) -> str:
    """Return a whole page.

    Args:
        title: Of the page, as text.
        sections: Its content, as HTML that templates made.
    """
    body = Markup("\n").join(map(Markup, sections))
    # a tag is ours: of what comes from data every < is escaped
    return _ENVIRONMENT.get_template("page.html").render(title=title, body=body, has_pictures="<img " in body)


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


def header(title: str, lead: str, made_from: Sequence[tuple[str, str]] = ()) -> Markup:
    """Return the head of a page: its title, one sentence, and what it was made from."""
    return macros("parts.html").header(title, lead, made_from)


def section(title: str, *parts: str, anchor: str = "") -> Markup:
    """Return a section; the parts are HTML that templates made, and `anchor` is what links to it name."""
    return macros("parts.html").section(title, Markup("".join(parts)), anchor)


def folded(title: str, *parts: str) -> Markup:
    """Return parts that are shown when they are asked for."""
    return macros("parts.html").folded(title, Markup("".join(parts)))


def facts(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Return names and values below each other."""
    return macros("parts.html").facts(list(pairs))


def paragraph(text: str, kind: str = "soft") -> Markup:
    """Return a paragraph of text."""
    return macros("parts.html").paragraph(text, kind)


def code(text: str) -> Markup:
    """Return a block of code."""
    return macros("parts.html").code(text)


def table(head: Sequence[str], rows: Iterable[str], *, num_texts: int = 1) -> Markup:
    """Return a table in a card that scrolls on its own; rows are HTML, the first columns are text."""
    return macros("parts.html").table(head, Markup("".join(rows)), num_texts)


def number_class(is_number: bool) -> str:
    """Return the attribute of a cell that holds a number."""
    return ' class="number"' if is_number else ""
