"""What is shown of clips and their texts, on a page and in a terminal, without a model."""

import io
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from support.html_checks import check
from support.tiny import tiny_tokenizer

from diffmask.assemble.modality import modality_named
from diffmask.assemble.video_text import VideoTextMasking
from diffmask.report.clips.look import ShownClip
from diffmask.report.clips.preview import ClipPreview
from diffmask.report.pairs.look import PairLook
from diffmask.report.pairs.preview import PairPreview, ShownPair
from diffmask.report.text.cut import Excerpt
from diffmask.report.text.preview import PreviewSettings, TextPreview
from diffmask.text.corpus.documents import Document
from diffmask.video.units.grid import Grid

EVIL = "<script>alert('pair')</script>\x1b[31m\"&"
TEXTS = ["the kinase binds a protein in blood", f"a rat was found {EVIL}"]
GRID = Grid(2, 4, 4, 2, 8)


def settings():
    return modality_named("video-text").plain(["pairs.jsonl"], "m").masking


@pytest.fixture(scope="module")
def looks():
    names = ["whole-word+random-tube", "random-token+random-patch"]
    masks = [VideoTextMasking.resolve(VideoTextMasking.for_policy(settings(), name)) for name in names]
    return {
        name: PairLook.of(mask, tiny_tokenizer(), None, GRID, progress=0.5)
        for name, mask in zip(names, masks, strict=True)
    }


@pytest.fixture(scope="module")
def preview(looks):
    frames = torch.randint(0, 256, (2, 4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    clips = [ShownClip(f"{EVIL}-{number}.mp4", "", each) for number, each in enumerate(frames)]
    excerpts = [Excerpt(text, "clip", number, text) for number, text in enumerate(TEXTS, 1)]
    documents = [Document(text, "clip", number, 0) for number, text in enumerate(TEXTS, 1)]
    words = {name: look.text for name, look in looks.items()}
    text = TextPreview.of(documents, words, None, tiny_tokenizer(), PreviewSettings(max_length=64), excerpts=excerpts)
    patches = {name: look.video for name, look in looks.items()}
    video = ClipPreview.of(clips, {"frames": frames, "sample_ids": torch.arange(2)}, patches, num_draws=8)
    pairs = [ShownPair(f"{EVIL}-0.mp4", TEXTS[0]), ShownPair(f"{EVIL}-1.mp4", TEXTS[1], "1.0 to 3.5 s")]
    return PairPreview(pairs, list(looks), text, video, {EVIL: EVIL})


def printed(preview, **options):
    console = Console(file=io.StringIO(), width=120, **options)
    preview.print(console)
    return console.file.getvalue()


def test_the_page_is_whole_and_escapes_what_comes_from_data(preview):
    page = check(preview.page([("clips", EVIL)], [EVIL]), pictures=True)
    # of each policy and clip, and once where it is explained
    assert page.text.count("hidden in 8 masks") == 5 and "1.0 to 3.5 s" in page.text
    # each text stands there once as it is, and once for each policy
    assert page.text.count("the kinase binds a protein in blood") == 3
    assert "Clips that could not be read" in page.text


def test_a_run_shows_the_same(preview):
    page = check(str(preview.run_part("They were held out.")), pictures=True)
    assert "They were held out." in page.text and "Whose words were hidden" in page.text


def test_a_terminal_shows_words_beside_the_patches_of_one_moment(preview):
    said = printed(preview)
    assert "\x1b" not in said and "\x1b[31m" not in said
    lines = said.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("whole-word+random-tube"))
    shown = [line.split("  ")[-1].strip() for line in lines[first : first + 4]]
    masked = preview.video.readings["whole-word+random-tube"][0].masked[1]
    assert shown == ["".join("##" if hidden else ".." for hidden in row) for row in masked.tolist()]
    coloured = printed(preview, force_terminal=True, color_system="truecolor")
    assert "\x1b[" in coloured and '\x1b[31m"' not in coloured


def test_one_side_alone(preview):
    unread = replace(preview, text=None)
    assert "The words are not masked." in check(unread.page([]), pictures=True).text
    assert TEXTS[0] in printed(unread) and "[" not in printed(unread).replace("[31m", "")
    unseen = replace(preview, video=replace(preview.video, readings={}))
    assert "The patches are not masked." in check(unseen.page([]), pictures=True).text
    assert "##" not in printed(unseen) and "mask ratio reached" in printed(unseen)


def test_a_side_that_is_not_masked_has_no_look():
    config = replace(settings(), sides="text")
    masking = VideoTextMasking.resolve(VideoTextMasking.for_policy(config, "random-token"))
    look = PairLook.of(masking, tiny_tokenizer(), None, GRID)
    assert look.video is None and list(look.masker.sides) == ["text"]


def test_what_both_sides_learned_is_given_back_to_each():
    masking = VideoTextMasking.resolve(VideoTextMasking.for_policy(settings(), "whole-word+hard-patch"))
    look, other = (PairLook.of(masking, tiny_tokenizer(), None, GRID) for _ in range(2))
    learned = {key: value + 1 for key, value in look.masker.policy.state_dict().items()}
    assert learned and all(key.endswith("_video") for key in learned)
    other.masker.policy.load_state_dict(learned)
    again = other.masker.policy.state_dict()
    assert again.keys() == learned.keys() and all(torch.equal(again[key], learned[key]) for key in learned)
