"""A preview as HTML: anchors, heat maps side by side, and the numbers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from diffmask.report.figures.figures import NUM_LEVELS, level
from diffmask.report.html.page import escape, header, page, paragraph, section, table
from diffmask.report.preview.look import FUNCTION, NUM_FUNCTION_WORDS
from diffmask.report.preview.preview import Figures, Listing, Preview
from diffmask.text.anchors.anchor_set import AnchorSet

MOST_COLUMNS = 4
"""Of policies in the table of numbers; more of them have a row each."""


def preview_page(
    preview: Preview, anchors: AnchorSet | None, threshold: float, facts: Sequence[tuple[str, str]]
) -> str:
    """Return a preview as a whole page.

    Args:
        preview: What to show.
        anchors: The domain's anchors, if they are known.
        threshold: Least TF-ICF of the domain's own words.
        facts: What the preview was made from, as pairs of name and value.
    """
    title = "What training will hide"
    head = header(title, "Masks of several policies on the same text, before a single step of training.", facts)
    known = [] if anchors is None else [anchor_section(anchors)]
    return page(title, [head, *known, heat_section(preview), number_section(preview, threshold)])


ANCHOR_LEAD = (
    "The words that make this domain different: many times more frequent here than in general. "
    "Difference masking prefers what is similar to them."
)
HEAT_LEAD = (
    "The colour of a word is the probability that training hides it: the mean of many masks, drawn as training "
    "draws them. Words in a box are hidden by one of these masks. Every policy hides the same share of the text; "
    "what differs is where. Each excerpt is masked as a row of its own."
)


def anchor_section(anchors: AnchorSet) -> str:
    """Return the anchors, each with how many times its general frequency it has in the domain."""
    return section("Anchors", paragraph(ANCHOR_LEAD), anchor_chips(row[:2] for row in anchors.rows()))


def anchor_chips(anchors: Iterable[tuple[str, float]]) -> str:
    """Return anchors with their TF-ICF; one that is 0 is not known."""
    chips = "".join(
        f"<li>{escape(anchor)}{f'<small>{times:,.0f}x</small>' if times else ''}</li>" for anchor, times in anchors
    )
    return f'<ul class="chips">{chips}</ul>'


def heat_section(preview: Preview) -> str:
    """Return the excerpts, with the policies side by side."""
    return section("Heat maps", paragraph(HEAT_LEAD), heat_cards(preview))


def heat_cards(preview: Preview) -> str:
    """Return the scale of colours, and a card for each excerpt."""
    cards = (_card(preview, index) for index in range(len(preview.excerpts)))
    return _scale(preview.highest) + "".join(cards)


def _scale(highest: float) -> str:
    steps = "".join(f'<i class="h{step}"></i>' for step in range(NUM_LEVELS))
    return (
        '<div class="scale"><div><span>never</span>'
        f'<div class="steps" role="img" aria-label="colour scale of probabilities">{steps}</div>'
        f"<span>probability {highest:.2f}</span></div>"
        '<div><span class="masked">word</span><span>hidden in one drawn mask</span></div></div>'
    )


def _card(preview: Preview, index: int) -> str:
    excerpt = preview.excerpts[index]
    columns = "".join(
        f'<div><p class="policy">{escape(name)}</p><p class="text">{_heat(preview, name, index)}</p></div>'
        for name in preview.readings
    )
    source = f"{excerpt.source}, document {excerpt.number:,}"
    return f'<div class="card"><div class="grid">{columns}</div><p class="source">{escape(source)}</p></div>'


def _heat(preview: Preview, name: str, index: int) -> str:
    spans, reading = preview.spans[name][index], preview.readings[name][index]
    text, done, parts = preview.excerpts[index].text, 0, []
    for span, probability, masked in zip(spans, reading.probabilities, reading.masked, strict=True):
        kind = f"h{level(probability, preview.highest)}" + (" masked" if masked else "")
        word = escape(text[span.start : span.stop])
        title = f"{probability:.2f}{', hidden in the drawn mask' if masked else ''}"
        parts.append(f'{escape(text[done : span.start])}<span class="{kind}" title="{title}">{word}</span>')
        done = span.stop
    return "".join(parts) + escape(text[done:])


def number_section(preview: Preview, threshold: float) -> str:
    """Return the table of what each policy hides, and the words it hides most and least."""
    return section("The numbers", number_table(preview, threshold), *word_lists(preview.figures))


def number_table(preview: Preview, threshold: float) -> str:
    """Return the shares of the hidden tokens, and how they were measured."""
    lead = (
        f"Measured on {preview.num_positions:,} tokens in {preview.num_documents:,} documents, cut into rows as in "
        f"training. A word is the domain's own if it is at least {threshold:g} times as frequent here as in general; "
        f"the {NUM_FUNCTION_WORDS} words most frequent in general stand for the function words. Bands are of the "
        "general frequency."
    )
    if len(preview.figures) <= MOST_COLUMNS:
        rows = table(["share of the hidden tokens", "in the text", *preview.figures], _number_rows(preview))
    else:
        rows = table(["policy", "mask ratio reached", *preview.traits], _wide_rows(preview))
    return paragraph(lead) + rows


def _wide_rows(preview: Preview) -> Iterator[str]:
    """Yield the same numbers with a row for each policy: what many policies need."""
    rows = {"in the text": ("", preview.text_shares)}
    rows |= {name: (f"{100 * each.ratio:.2f} %", each.shares) for name, each in preview.figures.items()}
    for name, (ratio, column) in rows.items():
        cells = "".join(_cell(column[trait]) for trait in preview.traits)
        yield f'<tr><th scope="row">{escape(name)}</th><td class="number">{ratio}</td>{cells}</tr>'


def _cell(share: float) -> str:
    return f'<td class="number bar" style="--share:{share:.3f}">{100 * share:.1f} %</td>'


def _number_rows(preview: Preview) -> Iterator[str]:
    ratios = [1.0, *(figures.ratio for figures in preview.figures.values())]
    shown = ["", *(f"{100 * ratio:.2f} %" for ratio in ratios[1:])]
    cells = "".join(f'<td class="number">{text}</td>' for text in shown)
    yield f'<tr><th scope="row">mask ratio reached (of all tokens)</th>{cells}</tr>'
    columns = [preview.text_shares, *(figures.shares for figures in preview.figures.values())]
    for trait in preview.traits:
        cells = "".join(_cell(column[trait]) for column in columns)
        yield f'<tr><th scope="row">{escape(trait)}</th>{cells}</tr>'
        if trait == FUNCTION:  # the bands follow
            yield f'<tr class="group"><th scope="row">by general frequency</th><td colspan="{len(columns)}"></td></tr>'


def word_lists(figures: Mapping[str, Figures]) -> Iterator[str]:
    """Yield the words that stand out under each policy; a policy without any has no preference to show."""
    for name, each in figures.items():
        if each.most or each.least:
            most, least = _words("hidden most often", each.most), _words("hidden least often", each.least)
            yield f'<div class="card"><h3>{escape(name)}</h3><div class="grid">{most}{least}</div></div>'


def _words(title: str, listing: Listing) -> str:
    words = "".join(f"<li>{escape(word)}<small>{probability:.2f}</small></li>" for word, probability in listing)
    return (
        f'<div><p class="policy">{escape(title)}</p><ul class="chips">{words or "<li>none stands out</li>"}</ul></div>'
    )
