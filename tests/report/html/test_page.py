import re
from dataclasses import replace

import pytest
import torch
from markupsafe import escape
from support.domain import SENTENCES, documents, domain_anchors
from support.html_checks import check
from support.tiny import tiny_tokenizer

from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.files.folders import check_output
from diffmask.policies.difference import Difference
from diffmask.policies.uniform import Uniform
from diffmask.report.figures.figures import DARK, DARK_INK, LIGHT, LIGHT_INK, NUM_LEVELS, level
from diffmask.report.html.page import page, write_page
from diffmask.report.text.look import TextLook
from diffmask.report.text.preview import PreviewSettings, TextPreview
from diffmask.text.adapter import text_adapter

EVIL = "<script>alert('kinase')</script>"


@pytest.fixture(scope="module")
def rendered():
    anchors = domain_anchors()
    anchors.anchors.append(EVIL)
    tokenizer = tiny_tokenizer()
    texts = [f'{EVIL} & "{SENTENCES[0]}"', *SENTENCES, " ".join(SENTENCES * 3)]
    maskers = {EVIL: Masker(Uniform()), "difference": Masker(Difference(anchors.scores, anchors.unknown_score))}
    looks = {name: TextLook(masker, text_adapter(tokenizer)) for name, masker in maskers.items()}
    settings = PreviewSettings(num_sentences=4, max_length=32)
    corpus = [document._replace(source=EVIL) for document in documents(texts)]
    preview = TextPreview.of(corpus, looks, anchors, tokenizer, settings)
    return preview, preview.page([("model", EVIL), (EVIL, "0.15")])


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(rendered):
    checker = check(rendered[1])
    assert "viewport" in dict(checker.attributes).values() or ("name", "viewport") in checker.attributes


def test_what_comes_from_data_is_text(rendered):
    preview, text = rendered
    assert "<script" not in text and "alert('" not in text
    # the text, the source, the model, the name of a fact, the anchor and the policy
    assert check(text).text.count("script>") >= 6


def test_the_text_is_that_of_the_corpus(rendered):
    preview, text = rendered
    words = check(text).text
    for excerpt in preview.excerpts:
        assert words.count(excerpt.text) >= len(preview.readings)


def test_a_word_tells_its_probability_and_whether_it_is_hidden(rendered):
    preview, text = rendered
    titles = re.findall(r'class="h\d+(?: masked)?" title="([^"]*)"', text)
    readings = [reading for index in range(len(preview.excerpts)) for reading in
                (each[index] for each in preview.readings.values())]  # fmt: skip
    expected = [
        f"{probability:.2f}{', hidden in the drawn mask' if masked else ''}"
        for reading in readings
        for probability, masked in zip(*reading, strict=True)
    ]
    assert titles == expected


def test_the_numbers_are_on_the_page(rendered):
    preview, text = rendered
    shown = check(text).text
    for figures in preview.figures.values():
        assert f"{100 * figures.ratio:.2f} %" in shown
        assert all(f"{100 * share:.1f} %" in shown for share in figures.shares.values())


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("ramp", "ink"), [(LIGHT, LIGHT_INK), (DARK, DARK_INK)])
def test_text_is_readable_on_every_colour_of_the_map(ramp, ink):
    assert len(ramp) == NUM_LEVELS
    assert min(contrast(colour, ink) for colour in ramp) >= 4.5  # WCAG 2, level AA
    steps = [luminance(colour) for colour in ramp]
    assert steps == sorted(steps, reverse=ramp is LIGHT)


def test_every_other_text_is_readable_too(rendered):
    blocks = re.findall(r":root \{( color-scheme.*?| --page.*?)\}", rendered[1], flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        colours = dict(re.findall(r"--(\w+): (#\w{6})", block))
        for text in ("ink", "soft", "accent"):
            for ground in ("page", "card", "code"):
                assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        assert contrast(colours["ink"], colours["bar"]) >= 4.5


def test_levels_rise_with_the_probability():
    levels = [level(p, 0.6) for p in torch.linspace(0, 0.6, 50).tolist()]
    assert levels == sorted(levels) and levels[0] == 0 and levels[1] == 1 and levels[-1] == NUM_LEVELS - 1


def test_an_output_is_checked_before_the_work(tmp_path):
    path = tmp_path / "page.html"
    check_output(path, "page", "preview.html", overwrite=False)
    write_page(page("title", ["<p>text</p>"]), path)
    assert not list(tmp_path.glob("*.tmp"))
    with pytest.raises(InputError, match=r"the output .*page.html exists; use --overwrite to replace it, or give"):
        check_output(path, "page", "preview.html", overwrite=False)
    check_output(path, "page", "preview.html", overwrite=True)
    with pytest.raises(InputError, match=r"the output .* is a folder; give the name of a page such as .*preview.html"):
        check_output(tmp_path, "page", "preview.html", overwrite=True)
    with pytest.raises(InputError, match=r"the folder .*missing of the output does not exist; create it first"):
        check_output(tmp_path / "missing" / "page.html", "page", "preview.html", overwrite=True)


def test_half_a_character_does_not_stop_a_page(tmp_path):
    write_page(page("title", [f"<p>{escape(chr(0xD800))}</p>"]), tmp_path / "page.html")
    assert "&#55296;" in (tmp_path / "page.html").read_text()


def test_many_policies_have_a_row_each(rendered):
    preview, _ = rendered
    many = {f"policy {number}": figures for number in range(3) for figures in preview.figures.values()}
    many |= {f"other {number}": figures for number, figures in enumerate(preview.figures.values())}
    wide = replace(preview, figures=many).page([])
    for name, figures in many.items():
        row = re.search(rf'<tr><th scope="row">{name}</th>(.*?)</tr>', wide)[1]
        assert re.findall(r">([\d.]+) %<", row) == [
            f"{100 * figures.ratio:.2f}",
            *(f"{100 * share:.1f}" for share in figures.shares.values()),
        ]
    assert check(wide)
