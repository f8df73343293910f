"""A page: one HTML file without script or network, light or dark like the reader's device.

Python computes what is shown; templates/ say how, and escape all that comes from data.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from diffmask.files.folders import write_text
from diffmask.report.figures.figures import DARK, DARK_INK, LIGHT, LIGHT_INK, NUM_LEVELS, level

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""What a browser may load for a page, which tells our pages from others too."""
_HEAD_BYTES = 4096
_UNITS = [(1e3, "kB"), (1e6, "MB"), (1e9, "GB")]


def _path(text: object) -> Markup:
    """Return text that may be broken after a slash."""
    return escape(text).replace("/", Markup("/<wbr>"))


def _prose(text: object) -> Markup:
    """Return text in which `words in backticks` are code, and long paths may be broken after a slash."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(_path(text))))


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
    "prose": _prose,
    "path": _path,
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


def page(title: str, sections: Iterable[str], lead: str = "", made_from: Sequence[tuple[str, str]] = ()) -> str:
    """Return a whole page.

    Args:
        title: Of the page, as text.
        sections: Its content, as HTML that templates made.
        lead: A sentence below the title; without one, the sections bring their own head.
        made_from: What the page was made from, as pairs of name and value.
    """
    head = [macros("parts.html").header(title, lead, made_from)] if lead else []
    body = Markup("\n").join(map(Markup, [*head, *sections]))
    # a tag is ours: in what comes from data every < is escaped
    return _ENVIRONMENT.get_template("page.html").render(
        title=title, body=body, policy=Markup(_POLICY), has_pictures="<img " in body
    )


def is_foreign(path: Path) -> bool:
    """Tell whether a file is a page that was not made here, or no page by its name."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    looks_like_one = path.suffix not in (".html", ".htm") or head.lstrip().startswith(b"<")
    return looks_like_one and _POLICY.encode() not in head


def write_page(text: str, path: Path) -> None:
    """Write a page, under its name only once it is whole."""
    write_text(path, text, errors="xmlcharrefreplace")
