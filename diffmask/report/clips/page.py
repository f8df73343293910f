"""A preview of clips as HTML, and in the terminal."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from diffmask.report.clips.film_strip import colour_table, data_uri, number, pick, side_by_side
from diffmask.report.clips.pictures import NUM_SHOWN, SIZE, Layer, layers
from diffmask.report.clips.preview import ClipPreview, ClipReading, ShownClip
from diffmask.report.html.page import escape, header, page, paragraph, section, table

PICTURE_LEAD = (
    "Some frames of each clip, as training sees them, and below them what each policy does. Score: what the policy "
    "prefers, from dark (low) to bright (high); random masking prefers nothing. Hidden: how often each patch is hidden "
    "in {draws} masks, drawn as training draws them. One mask: the first of these; what is hidden is plain grey with "
    "fine lines, so that it is not taken for what is grey in the clip."
)
FILLED_LEAD = (
    "Filled in: the clip as the model makes it from the patches that this mask leaves. What a model is not told, the "
    "colour and contrast of a hidden patch, is taken from visible patches near it, never from the truth."
)
NUMBER_LEAD = (
    "The share of all patches that is hidden, and of the tenth with the policy's best scores, over {draws} masks. The "
    "nearer the two are, the more the policy is like random masking: at a ratio of 90 % little is left to choose."
)
_STOPS = 8


def clip_preview_page(
    preview: ClipPreview, facts: Sequence[tuple[str, str]], failed: dict[str, str], notes: Sequence[str] = ()
) -> str:
    """Return a preview of clips as a whole page.

    Args:
        preview: What to show.
        facts: What it was made from, as pairs of name and value.
        failed: Clips that could not be read, each with the reason.
        notes: What else is to be said, one sentence each.
    """
    title = "What training will hide"
    head = header(title, "Masks of several policies on the same clips, at the same ratio.", facts)
    said = [paragraph(note) for note in notes]
    parts = [section("Clips", *said, *clip_parts(preview)), section("The numbers", number_part(preview))]
    if failed:
        parts.append(section("Clips that could not be read", failure_table(failed)))
    return page(title, [head, *parts])


def clip_parts(preview: ClipPreview) -> Iterator[str]:
    """Yield what the pictures are, and a card for each clip."""
    yield paragraph(PICTURE_LEAD.format(draws=preview.num_draws))
    if any(each.reconstruction is not None for readings in preview.readings.values() for each in readings):
        yield paragraph(FILLED_LEAD)
    for index in range(len(preview.clips)):
        yield _card(preview, index)


def _card(preview: ClipPreview, index: int) -> str:
    clip = preview.clips[index]
    shown = pick(len(clip.frames), NUM_SHOWN)
    caption = f'<p class="soft">{escape(clip.caption)}</p>' if clip.caption else ""
    first = _figure(clip, Layer("frames", clip.frames), shown, "")
    parts = [first]
    for name, readings in preview.readings.items():
        parts.append(f'<p class="policy">{escape(name)}<span class="soft">{_said(readings[index])}</span></p>')
        parts += [_figure(clip, each, shown, name) for each in layers(clip, readings[index], preview.num_draws)]
    # what scrolls can be reached with the keyboard
    return (
        f'<article class="card clip"><h3>{escape(clip.name)}</h3>{caption}'
        f'<div class="strips" tabindex="0">{"".join(parts)}</div></article>'
    )


def _figure(clip: ShownClip, layer: Layer, shown: Sequence[int], policy: str) -> str:
    picture = side_by_side(layer.frames[shown], SIZE)
    told = escape(", ".join(filter(None, [clip.name, policy, layer.name])))
    scale = "" if layer.scale is None else _scale(*layer.scale)
    source = data_uri(picture, exact=layer.scale is not None)
    return (
        f"<figure><figcaption>{escape(layer.name)}{scale}</figcaption>"
        f'<img src="{source}" width="{picture.width}" height="{picture.height}" alt="{told}"></figure>'
    )


def _scale(low: float, high: float) -> str:
    """Return the colours from low to high with the numbers of the ends."""
    if low == high:
        return f'<span class="ends">{escape(number(low))} throughout</span>'
    table = colour_table()
    rows = [round(place * (len(table) - 1) / (_STOPS - 1)) for place in range(_STOPS)]
    stops = ",".join("#" + bytes(table[row].tolist()).hex() for row in rows)
    return (
        f'<span class="ends">{escape(number(low))}<i class="colours" style="background:linear-gradient(90deg,{stops})">'
        f"</i>{escape(number(high))}</span>"
    )


def _said(reading: ClipReading) -> str:
    best = "" if reading.best is None else f", {100 * reading.best:.1f}\u00a0% of the best-scored tenth"
    return f"hides {100 * reading.ratio:.1f}\u00a0% of the patches{best}"


def number_part(preview: ClipPreview) -> str:
    """Return the table of what each policy hides."""
    rows = (
        f'<tr><th scope="row">{escape(clip)}</th><td>{escape(name)}</td>'
        + "".join(f'<td class="number">{cell}</td>' for cell in cells)
        + "</tr>"
        for clip, name, *cells in _number_rows(preview)
    )
    head = ["clip", "policy", "of all patches", "of its best-scored tenth"]
    return paragraph(NUMBER_LEAD.format(draws=preview.num_draws)) + table(head, rows, num_texts=2)


def _number_rows(preview: ClipPreview) -> Iterator[list[str]]:
    """Yield clip, policy and shares: first those of all clips together."""
    if len(preview.clips) > 1:
        for name in preview.readings:
            yield ["all of these", name, *(_percent(preview.mean(name, what)) for what in ("ratio", "best"))]
    for index, clip in enumerate(preview.clips):
        for name, readings in preview.readings.items():
            yield [clip.name, name, _percent(readings[index].ratio), _percent(readings[index].best)]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def failure_table(failed: dict[str, str]) -> str:
    """Return the clips that could not be read, by name."""
    rows = (
        f'<tr><th scope="row">{escape(clip)}</th><td>{escape(reason)}</td></tr>'
        for clip, reason in sorted(failed.items())
    )
    return table(["clip", "why"], rows, num_texts=2)


def print_clip_preview(preview: ClipPreview, console: Console) -> None:
    """Print what each policy hides of each clip."""
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    made.add_column("clip", overflow="fold")
    made.add_column("policy", overflow="fold")
    made.add_column("hidden", justify="right", no_wrap=True)
    made.add_column("of the best tenth", justify="right", no_wrap=True)
    last = ""
    for clip, name, *cells in _number_rows(preview):
        made.add_row(Text(_plain(clip) if clip != last else ""), Text(_plain(name)), *cells)
        last = clip
    console.print(made)
    console.print(
        Text(
            f"hidden: share of the patches over {preview.num_draws} masks; of the best tenth: of those with the "
            "policy's best scores"
        )
    )


def _plain(text: str) -> str:
    """Return text without characters that a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)
