"""A self-contained HTML page: one file, no script, no network; light or dark as the reader's device asks.

How pages look: one style sheet, light or dark as the reader's device asks.
"""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from diffmask.core.errors import InputError
from diffmask.files.folders import write_text
from diffmask.report.figures.figures import DARK, DARK_INK, LIGHT, LIGHT_INK

STYLE = """
:root { color-scheme: light dark; --page: #faf8f5; --card: %(light)s; --ink: %(light_ink)s; --soft: #6b625a;
  --line: #e6dfd6; --accent: #a84b08; --code: #f3efe9; --bar: #ffdba4; --first: #6b7280; --second: #a84b08;
  --third: #0f766e; --whole: 6em; }
@media (prefers-color-scheme: dark) { :root { --page: #141210; --card: %(dark)s; --ink: %(dark_ink)s;
  --soft: #b0a59a; --line: #37322d; --accent: #fb9a4b; --code: #26221f; --bar: #643813; --first: #9ca3af;
  --second: #fb9a4b; --third: #2dd4bf; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.6 system-ui, -apple-system, "Segoe UI",
  Roboto, "Noto Sans", "Liberation Sans", sans-serif; -webkit-text-size-adjust: 100%%; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 32px; line-height: 1.2; letter-spacing: -0.02em; margin: 4px 0 8px; }
h2 { font-size: 21px; line-height: 1.3; letter-spacing: -0.01em; margin: 48px 0 4px; }
h3 { font-size: 15px; margin: 0 0 8px; }
p { margin: 8px 0; max-width: 75ch; } .soft { color: var(--soft); }
.brand { color: var(--accent); font-weight: 700; font-size: 14px; letter-spacing: 0.04em; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 16px 20px;
  margin: 16px 0; }
.facts { display: flex; flex-wrap: wrap; gap: 4px 24px; margin: 16px 0 0; padding: 0; font-size: 14px; }
.facts div { display: flex; gap: 8px; min-width: 0; } .facts dt { color: var(--soft); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.chips { display: flex; flex-wrap: wrap; gap: 8px; padding: 0; margin: 12px 0; list-style: none; }
.chips li { background: var(--card); border: 1px solid var(--line); border-radius: 99px; padding: 2px 12px;
  font-size: 14px; overflow-wrap: anywhere; } .chips small { color: var(--soft); margin-left: 6px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%%; font-size: 14px; }
th, td { text-align: left; padding: 7px 12px; border-bottom: 1px solid var(--line); vertical-align: top; }
tbody tr:last-child > * { border-bottom: 0; } thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 400; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
thead .number { white-space: normal; }
.bar { background: linear-gradient(var(--bar), var(--bar)) no-repeat 0 7px /
  calc(var(--share) * var(--whole)) 1.55em; width: calc(var(--whole) + 7em);
  min-width: calc(var(--whole) + 5.6em); }
.best { font-weight: 700; } tr.group > th { color: var(--soft); font-size: 13px; padding-top: 16px; }
pre { background: var(--code); border-radius: 8px; padding: 12px 16px; margin: 8px 0; overflow-x: auto; }
pre, code { font: 13.5px/1.6 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
p code, li code { background: var(--code); border-radius: 4px; padding: 1px 5px; overflow-wrap: anywhere; }
.grid { display: grid; gap: 16px 32px; grid-template-columns: repeat(auto-fit, minmax(min(100%%, 300px), 1fr)); }
.grid > * { min-width: 0; }
.text { line-height: 2; margin: 0; overflow-wrap: break-word; max-width: none; }
.text span, .scale span { border-radius: 4px; padding: 2px 1px; }
.masked { box-shadow: inset 0 0 0 2px var(--ink); padding: 2px 4px !important; font-weight: 600; }
.policy { color: var(--soft); font-size: 13px; font-weight: 600; margin: 0 0 2px; }
.source { color: var(--soft); font-size: 13px; margin: 10px 0 0; overflow-wrap: anywhere; }
.scale { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 20px; font-size: 14px; color: var(--soft);
  margin: 12px 0; } .scale > div { display: flex; align-items: center; gap: 8px;
  max-width: 100%%; }
.steps { display: flex; flex: 0 1 auto; min-width: 0; border: 1px solid var(--line); border-radius: 5px;
  overflow: hidden; }
.steps i { flex: 0 1 22px; width: 22px; min-width: 4px; height: 18px; }
figure { margin: 0; } figcaption { font-size: 14px; font-weight: 600; margin-bottom: 4px; }
figure svg { width: 100%%; height: auto; display: block; }
.key { display: inline-block; width: 20px; height: 0; border-top: 3px solid; vertical-align: middle; }
footer { color: var(--soft); font-size: 13px; margin-top: 48px; }
ul.plain { padding-left: 20px; margin: 8px 0; max-width: 75ch; }
nav ul { display: flex; flex-wrap: wrap; gap: 4px 20px; list-style: none; margin: 28px 0 0; padding: 12px 0 0;
  border-top: 1px solid var(--line); font-size: 14px; } nav a { color: var(--accent); display: inline-block;
  padding: 4px 0; text-underline-offset: 3px; }
section { scroll-margin-top: 8px; } section h3 { margin: 32px 0 8px; font-size: 16px; }
section h4 { margin: 20px 0 -4px; font-size: 14px; }
.card > h3, .grid h3 { margin: 0 0 8px; font-size: 15px; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.tiles { display: flex; flex-wrap: wrap; gap: 1px; margin: 28px 0 0; background: var(--line);
  border: 1px solid var(--line); border-radius: 12px; overflow: hidden; }
.tiles div { background: var(--card); padding: 14px 18px; flex: 1 1 176px; min-width: 0; } .tiles dd { margin: 0; }
.tiles dt { color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
.tiles dt + dd { font-size: 23px; line-height: 1.35; font-weight: 650; white-space: nowrap; letter-spacing: -0.01em;
  font-variant-numeric: tabular-nums; } .tiles .note { color: var(--soft); font-size: 13px; line-height: 1.4; }
.notice { border-left: 4px solid var(--accent); background: var(--code); border-radius: 8px; padding: 12px 18px;
  margin: 24px 0 0; font-size: 14px; } .notice h2 { font-size: 15px; margin: 0; letter-spacing: 0; }
.notice ul { margin: 6px 0 0; padding-left: 18px; overflow-wrap: anywhere; }
.list { margin: 0; font-size: 14px; } .list div { display: grid; grid-template-columns: minmax(90px, 220px) 1fr;
  gap: 2px 20px; padding: 5px 0; } .list dt { color: var(--soft); overflow-wrap: anywhere; }
.list dd { margin: 0; overflow-wrap: anywhere; }
details { margin: 12px 0; font-size: 14px; } summary { cursor: pointer; color: var(--accent); padding: 4px 0; }
details[open] > .list { border-left: 2px solid var(--line); padding-left: 16px; margin: 6px 0 6px 4px; }
td code, th code { background: none; padding: 0; }
.settings { margin: 0; font-size: 14px; } .settings div { display: grid; gap: 2px 20px; padding: 8px 0;
  grid-template-columns: 190px minmax(0, 2fr) minmax(0, 3fr); border-bottom: 1px solid var(--line); }
.settings div:last-child { border-bottom: 0; } .settings dd { margin: 0; overflow-wrap: anywhere; }
.settings dt, .settings .soft { font-size: 13px; } .settings b { font-weight: 650; margin-right: 8px; }
.charts { display: grid; gap: 20px 36px; grid-template-columns: repeat(auto-fill, minmax(min(100%%, 290px), 1fr));
  align-items: end; } .charts > * { min-width: 0; }
.beside { display: grid; gap: 0 16px; grid-template-columns: minmax(0, 360px) minmax(0, 1fr); align-items: start; }
.keys { display: flex; flex-wrap: wrap; gap: 0 16px; font-size: 13px; color: var(--soft); }
.key.dashed { border-top-style: dashed; } .key.faint { border-top-width: 1px; }
table.heat { width: auto; font-variant-numeric: tabular-nums; } .heat td { text-align: center; min-width: 40px;
  padding: 6px 4px; border: 1px solid var(--card); } .heat thead th { vertical-align: bottom; }
.heat th { border-bottom: 0; } .heat .top { text-align: center; padding: 6px 4px; }
.heat .turned span { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap; }
.clip > h3 { overflow-wrap: anywhere; } .strips { overflow-x: auto; } .strips figure { margin: 6px 0 10px; }
.strips .policy, .strips figcaption { position: sticky; left: 0; width: fit-content; max-width: min(100%%, 84vw); }
.strips figcaption { font-size: 13px; font-weight: 400; color: var(--soft); display: flex; gap: 4px 14px; }
.strips .policy { color: var(--ink); font-size: 15px; margin-top: 22px; } .policy .soft { font-weight: 400;
  font-size: 13px; margin-left: 10px; } .strips img { display: block; border-radius: 4px; max-width: none; }
.ends { display: inline-flex; align-items: center; gap: 6px; font-variant-numeric: tabular-nums; }
.colours { display: inline-block; width: 84px; height: 10px; border-radius: 3px; }
@media (max-width: 760px) { .beside { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 600px) {
  .tiles div { padding: 10px 12px; flex-basis: 132px; } .tiles dt + dd { font-size: 20px; }
  .list div { grid-template-columns: minmax(0, 1fr); padding: 6px 0; } nav ul { gap: 4px 16px; }
  .settings div { grid-template-columns: minmax(0, 1fr); } .charts { gap: 28px; }
  :root { --whole: 3em; } main { padding: 24px 16px 48px; } h1 { font-size: 26px; } h2 { margin-top: 36px; }
  .card { padding: 14px; } .scroll { padding: 8px 0; }
  .scroll tbody th, .scroll thead th:first-child { position: sticky; left: 0; z-index: 1; background: var(--card);
  padding-left: 12px; min-width: 96px; max-width: 42vw; overflow-wrap: break-word; }
  table { font-size: 13px; } th, td { padding: 7px 6px; } }
@media print { * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } nav { display: none; }
  main { max-width: none; padding: 0; } body { font-size: 11pt; background: none; }
  .card, figure, tr, .settings div { break-inside: avoid; }
  .scroll, .clip, .card:has(.settings) { break-inside: auto; }
  h2, h3 { break-after: avoid; } .scroll, .strips { overflow: visible; } .strips img { width: 100%%; height: auto; }
  details::details-content { content-visibility: visible; block-size: auto; } }
"""


def _style() -> str:
    """Return the style sheet; `h1` to `h10` are the steps of the heat map."""
    colours = {"light": LIGHT[0], "light_ink": LIGHT_INK, "dark": DARK[0], "dark_ink": DARK_INK}
    light = "".join(f".h{level}{{background:{colour}}}" for level, colour in enumerate(LIGHT) if level)
    dark = "".join(f".h{level}{{background:{colour}}}" for level, colour in enumerate(DARK) if level)
    return f"{STYLE % colours}{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}\n"


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
        f"<title>{escape(title)}</title>\n<style>{_style()}</style>\n</head>\n"
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
