import io
import re

import pytest
from rich.console import Console
from support.domain import SENTENCES, documents, domain_anchors
from support.tiny import tiny_tokenizer

from diffmask.core.masker import Masker
from diffmask.policies.difference import Difference
from diffmask.policies.uniform import Uniform
from diffmask.report.text.look import TextLook
from diffmask.report.text.preview import PreviewSettings, TextPreview
from diffmask.text.adapter import text_adapter


@pytest.fixture(scope="module")
def preview():
    anchors, tokenizer = domain_anchors(), tiny_tokenizer()
    texts = [SENTENCES[0] + " \x1b[31mred\x07 [bold]kinase[/bold]", SENTENCES[1]]
    maskers = {"uniform": Masker(Uniform()), "difference": Masker(Difference(anchors.scores, anchors.unknown_score))}
    looks = {name: TextLook(masker, text_adapter(tokenizer)) for name, masker in maskers.items()}
    return TextPreview.of(documents(texts), looks, anchors, tokenizer, PreviewSettings(max_length=32))


def printed(preview, **settings):
    file = io.StringIO()
    preview.print(Console(file=file, width=400, **settings))
    return file.getvalue()


def test_without_colour_the_mask_stands_in_brackets(preview):
    text = printed(preview)
    assert "\x1b" not in text
    assert "[word] is hidden in one drawn mask" in text
    for index, excerpt in enumerate(preview.excerpts):
        for name, readings in preview.readings.items():
            expected, done = "", 0
            for span, masked in zip(preview.spans[name][index], readings[index].masked, strict=True):
                word = excerpt.text[span.start : span.stop]
                expected += excerpt.text[done : span.start] + (f"[{word}]" if masked else word)
                done = span.stop
            expected += excerpt.text[done:]
            assert re.search(rf"^{name} +{re.escape(expected.replace(chr(27), ' ').replace(chr(7), ' '))}", text, re.M)


def test_without_colour_the_words_that_stand_out_are_named(preview):
    text = printed(preview)
    lines = [line.strip() for line in text.splitlines()]
    assert any(re.match(r"\(most likely hidden: kinase 0\.\d\d", line) for line in lines)
    assert "(no word stands out)" in lines  # under random masking


def test_the_numbers_are_printed(preview):
    text = printed(preview)
    for name, figures in preview.figures.items():
        assert name in text and f"{100 * figures.ratio:.2f} %" in text
        assert all(f"{100 * share:.1f} %" in text for share in figures.shares.values())


def test_with_colour_there_is_a_scale_and_no_brackets(preview):
    text = printed(preview, force_terminal=True, color_system="truecolor", no_color=False)
    assert "\x1b[" in text and "never" in text and "is hidden in one drawn mask" not in text


def test_no_color_is_obeyed_on_a_terminal(preview):
    text = printed(preview, force_terminal=True, color_system="truecolor", no_color=True)
    assert "[word] is hidden in one drawn mask" in text and "48;2" not in text


def test_text_cannot_command_the_terminal(preview):
    text = printed(preview, force_terminal=True, color_system="truecolor", no_color=False)
    assert "\x1b[31mred" not in text and "\x07" not in text


def test_fewer_excerpts_can_be_asked_for(preview):
    file = io.StringIO()
    preview.print(Console(file=file, width=400), 1)
    assert [line[:7] for line in file.getvalue().splitlines()].count("uniform") == 1
