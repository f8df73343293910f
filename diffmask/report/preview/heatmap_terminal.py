"""A preview in the terminal: in colour where there is colour, readable where there is none."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from diffmask.report.figures.figures import DARK, DARK_INK, NUM_LEVELS, level
from diffmask.report.preview.look import DOMAIN, FUNCTION
from diffmask.report.preview.preview import Preview

NUM_NAMED = 4
"""Without colour the most probable words of an excerpt are named with their probabilities ..."""
STANDS_OUT = 1.5
"""... if these are so many times the mean."""
GAP, LEAST_WIDTH = 2, 7
"""Between the columns of the table of numbers, and of a column."""


def print_preview(preview: Preview, console: Console, num_excerpts: int | None = None) -> None:
    """Print the heat maps and the numbers.

    Args:
        preview: What to print.
        console: Where to; it knows whether it has colours.
        num_excerpts: How many excerpts; None prints all.
    """
    coloured = console.color_system is not None and not console.no_color
    console.print(_legend(preview.highest) if coloured else Text("[word] is hidden in one drawn mask"))
    for index in range(len(preview.excerpts[:num_excerpts])):
        console.print()
        console.print(_excerpt(preview, index, coloured))
    for table in _numbers(preview, console.width):
        console.print()
        console.print(table)


def _legend(highest: float) -> Text:
    legend = Text("never ")
    for step in range(1, NUM_LEVELS):
        legend.append("  ", _style(step))
    legend.append(f" hidden with probability {highest:.2f};  ")
    legend.append("word", "bold underline")
    legend.append(" hidden in one drawn mask")
    return legend


def _excerpt(preview: Preview, index: int, coloured: bool) -> Table:
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(ratio=1)
    for name in preview.readings:
        text = _text(preview, name, index, coloured)
        if not coloured:
            text.append(f"\n({_most_probable(preview, name, index)})")
        grid.add_row(Text(name), text)
    return grid


def _text(preview: Preview, name: str, index: int, coloured: bool) -> Text:
    spans, reading = preview.spans[name][index], preview.readings[name][index]
    text, done, shown = preview.excerpts[index].text, 0, Text()
    for span, probability, masked in zip(spans, reading.probabilities, reading.masked, strict=True):
        shown.append(_plain(text[done : span.start]))
        word = _plain(text[span.start : span.stop])
        if coloured:
            style = _style(level(probability, preview.highest))
            shown.append(word, f"{style} bold underline" if masked else style)
        else:
            shown.append(f"[{word}]" if masked else word)
        done = span.stop
    return shown.append(_plain(text[done:]))


def _most_probable(preview: Preview, name: str, index: int) -> str:
    """Return the words that stand out; under a policy without preference none does."""
    spans, reading = preview.spans[name][index], preview.readings[name][index]
    text = preview.excerpts[index].text
    words: dict[str, float] = {}
    for span, probability in zip(spans, reading.probabilities, strict=True):
        words.setdefault(_plain(text[span.start : span.stop]), probability)
    least = STANDS_OUT * sum(reading.probabilities) / max(len(reading.probabilities), 1)
    ranked = sorted(((p, word) for word, p in words.items() if p >= least), key=lambda entry: -entry[0])
    named = ", ".join(f"{word} {p:.2f}" for p, word in ranked[:NUM_NAMED])
    return f"most likely hidden: {named}" if named else "no word stands out"


def _numbers(preview: Preview, width: int) -> Iterator[Table]:
    """Yield the table of what each policy hides, in as many parts as the terminal's width asks for."""
    rows = list(_number_rows(preview))
    lead = max(len(row[0]) for row in rows) + len("in the text") + 2 * GAP
    parts: list[list[int]] = [[]]
    room = width - lead
    for place, name in enumerate(preview.figures):
        needed = max(len(name), LEAST_WIDTH) + GAP
        if parts[-1] and needed > room:
            parts.append([])
            room = width - lead
        parts[-1].append(place)
        room -= needed
    names = list(preview.figures)
    for part in parts:
        table = Table(box=None, padding=(0, GAP, 0, 0), header_style="bold")
        table.add_column("share of the hidden tokens", no_wrap=True)
        for name in ("in the text", *(names[place] for place in part)):
            table.add_column(Text(name), justify="right", no_wrap=True)
        for label, of_text, *cells in rows:
            table.add_row(label, of_text, *(cells[place] for place in part))
        yield table


def _number_rows(preview: Preview) -> Iterator[list[str]]:
    yield ["mask ratio reached", "", *(f"{100 * figures.ratio:.2f} %" for figures in preview.figures.values())]
    columns = [preview.text_shares, *(figures.shares for figures in preview.figures.values())]
    for trait in preview.traits:
        indent = "" if trait in (DOMAIN, FUNCTION) else "  "
        yield [indent + trait, *(f"{100 * column[trait]:.1f} %" for column in columns)]


def _style(step: int) -> str:
    return f"{DARK_INK} on {DARK[step]}" if step else ""


def _plain(text: str) -> str:
    """Return text without characters that a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)
