"""The masks of words and patches of one step: each side's own budget and policy, the same on any layout."""

import sys
from dataclasses import replace

import pytest
import torch
from support.tiny import tiny_rows, tiny_tokenizer
from support.tiny_video import tiny_grid, tiny_videomae
from support.tiny_video_text import tiny_video_text

from diffmask.core.masker import Masker
from diffmask.core.schedule import Constant, Linear
from diffmask.policies.difference import Difference
from diffmask.policies.feature import Feature
from diffmask.policies.uniform import Uniform
from diffmask.text.adapter import text_adapter
from diffmask.train.masking import Masking
from diffmask.train.meter import DomainTypes, HighScores
from diffmask.video.adapter import VideoAdapter
from diffmask.video.model.targets import PixelTargets
from diffmask.video.units.features import FromRows
from diffmask.video_text.masking import JointMasking

WEIGHTS = {"text": 1.0, "video": 0.5, "contrastive": 2.0, "matching": 1.0}
OWN = torch.tensor([True, False, False, True, False, False])  # which types belong to the domain


def pairs(number=8, seed=0):
    """Return rows of pairs, each of one crop, whose first patches score high."""
    generator = torch.Generator().manual_seed(seed)
    texts = tiny_rows(number, seed)
    made = []
    for place, text in enumerate(texts):
        frames = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=generator)
        scores = torch.zeros(4, 4, 4)
        scores[:, :1] = 4.0
        ids = {"sample_id": place, "video_id": place // 2, "text_id": place}
        made.append([{"frames": frames, "difference": scores, "text": text | {"sample_id": place}, **ids}])
    return made


def joint(*, complement=False, text=None, video=None, **changes):
    grid = tiny_grid(tiny_videomae())
    words = text or Masker(Difference(torch.tensor([4.0, 0, 0, 4.0, 0, 0])), ratio=Constant(0.5), seed=3)
    patches = video or Masker(Feature("difference"), ratio=Constant(0.25), seed=3, uniform=True)
    frames = (0.5, 0.5, 0.5)
    adapter = VideoAdapter(grid, frames, frames, PixelTargets(2, 8, frames, frames), features=(FromRows("difference"),))
    fixed = Masker(Uniform(), Constant(0.5), seed=11, uniform=True)
    return JointMasking(
        Masking(text_adapter(tiny_tokenizer()), words, Masker(Uniform(), seed=11), DomainTypes(OWN)),
        Masking(adapter, patches, fixed, HighScores("difference", 1.0)),
        WEIGHTS,
        complement=complement,
        seed=3,
        **changes,
    )


def masked_of(masking, rows, step=0, num_steps=10):
    """Return which tokens and patches of each sample are masked, by its id."""
    batch = masking.pad(rows)
    drawn = masking.draw(batch, step, num_steps)
    found = {}
    for place, sample in enumerate(batch["sample_id"].tolist()):
        found[sample] = tuple(
            frozenset(units.to_positions(masked)[place].nonzero()[:, 0].tolist())
            for units, _, masked in drawn.choices.values()
        )
    return found


def test_each_side_keeps_its_own_budget_and_schedule():
    masking = joint(
        text=Masker(Uniform(), ratio=Linear(0.6, 0.2), seed=1),
        video=Masker(Uniform(), ratio=Linear(0.25, 0.75), seed=1, uniform=True),
    )
    rows = pairs(24)
    for step, words, patches in ((0, 0.6, 16), (5, 0.4, 32), (10, 0.2, 48)):
        drawn = masking.draw(masking.pad(rows), step, 10)
        text, video = drawn.choices["text"], drawn.choices["video"]
        share = (text.units.lengths * text.masked).sum() / text.units.lengths.sum()
        assert share.item() == pytest.approx(words, abs=0.12)
        assert set(video.masked.sum(1).tolist()) == {patches}
        assert drawn.counts.tolist() == [int((text.units.lengths * text.masked).sum()), patches * 24, 24, 24]


def test_masks_do_not_depend_on_the_layout_of_the_batch():
    rows = pairs(8)
    whole, reverse = masked_of(joint(), rows), masked_of(joint(), rows[::-1])
    alone = {}
    for row in rows:
        alone |= masked_of(joint(), [row])
    assert whole == reverse == alone
    assert whole != masked_of(joint(), rows, step=1)


def test_sides_draw_the_masks_that_each_would_draw_alone():
    masking, rows = joint(), pairs(6)
    batch = masking.pad(rows)
    drawn = masking.draw(batch, 2, 10)
    for name in ("text", "video"):
        alone = getattr(masking, name).choose(batch[name], 2, 10)
        assert torch.equal(alone.masked, drawn.choices[name].masked)


def hidden_domain(masking, rows, steps):
    """Return for each row and step whether a unit of the domain is hidden, of words and of patches."""
    found = []
    for step in range(steps):
        drawn = masking.draw(masking.pad(rows), step, steps)
        row = []
        for name in ("text", "video"):
            units, _, masked = drawn.choices[name]
            row.append((masked & getattr(masking, name).domain(units)).any(1))
        found.append(torch.stack(row, 1))
    return torch.cat(found)


def test_complement_never_hides_the_domain_on_both_sides():
    # 64 patches, 16 of the domain; a quarter is masked, so there is room for others, and texts have words to spare
    rows = [row for row in pairs(24) if sum(kind not in (0, 3) for kind in row[0]["text"]["types"]) >= 4]
    masker = Masker(Difference(torch.tensor([4.0, 0, 0, 4.0, 0, 0])), ratio=Constant(0.2), seed=3)
    free, bound = joint(text=masker), joint(text=masker, complement=True)
    assert hidden_domain(free, rows, 20).all(1).float().mean() > 0.3
    spared = hidden_domain(bound, rows, 20)
    assert not spared.all(1).any()
    # each side has its turn
    assert 0.3 < spared[:, 1].float().mean() < 0.7
    assert spared[:, 0].any()


def test_complement_changes_no_budget():
    rows = pairs(24)
    drawn = joint(complement=True).draw(joint().pad(rows), 4, 10)
    assert set(drawn.choices["video"].masked.sum(1).tolist()) == {16}
    share = drawn.counts[0] / drawn.choices["text"].units.lengths.sum()
    assert share.item() == pytest.approx(0.5, abs=0.1)


def test_a_side_that_is_not_masked_is_seen_whole():
    rows, model = pairs(4), tiny_video_text(fresh=False)
    only_text = joint(masked=("text",))
    only_text = type(only_text)(only_text.text, only_text.video, {"text": 1.0}, masked=("text",))
    drawn = only_text.draw(only_text.pad(rows), 0, 10)
    assert "masked" not in drawn.inputs["video"]
    assert only_text.losses(model, drawn.inputs)["text"].shape == (int(drawn.counts[0]),)
    only_video = type(only_text)(only_text.text, only_text.video, {"video": 1.0}, masked=("video",))
    batch = only_video.pad(rows)
    drawn = only_video.draw(batch, 0, 10)
    assert torch.equal(drawn.inputs["text"]["input_ids"], batch["text"]["input_ids"])
    assert only_video.losses(model, drawn.inputs)["video"].shape == (int(drawn.counts[0]),)


def test_losses_are_those_of_the_positions_in_their_order():
    rows, model = pairs(5), tiny_video_text(fresh=False)
    masking = joint()
    drawn = masking.draw(masking.pad(rows), 1, 10)
    losses = masking.losses(model, drawn.inputs)
    assert list(losses) == ["contrastive", "matching", "text", "video"]
    assert [len(losses[name]) for name in WEIGHTS] == drawn.counts.tolist()
    words, patches = drawn.inputs["text"], drawn.inputs["video"]
    first = 0
    for row in range(5):
        visible = (~patches["masked"][row]).nonzero()[:, 0][None]
        predicted = patches["predicted"][row].nonzero()[:, 0][None]
        places = (words["labels"][row] != -100).nonzero()[:, 0]
        output = model(
            words["input_ids"][row : row + 1],
            words["attention_mask"][row : row + 1],
            patches["frames"][row : row + 1],
            visible,
            predicted,
            (torch.zeros_like(places), places),
            objectives=("text", "video"),
        )
        logs = output.token_logits.log_softmax(1)
        for logit, place in zip(logs, places.tolist(), strict=True):
            assert -logit[words["labels"][row, place]].item() == pytest.approx(losses["text"][first].item(), abs=1e-5)
            first += 1
        errors = (output.patches[0] - patches["targets"][row]).square().mean(1)
        assert torch.allclose(errors, losses["video"].view(5, -1)[row], atol=1e-5)


def test_special_tokens_are_never_masked():
    masking = joint(text=Masker(Uniform(), ratio=Constant(1.0)))
    batch = masking.pad(pairs(8))
    labels = masking.draw(batch, 0, 1).inputs["text"]["labels"]
    special = torch.isin(batch["text"]["input_ids"], torch.tensor([0, 2, 3]))
    assert (labels[special] == -100).all()
    assert (labels[~special] != -100).all()


def test_hard_negatives_are_drawn_by_the_seed():
    model = tiny_video_text(fresh=False)
    found = []
    for seed in (3, 4):
        masking = replace(joint(), seed=seed)
        drawn = masking.draw(masking.pad(pairs(12)), 2, 10)
        with torch.no_grad():
            found.append(masking.losses(model, drawn.inputs))
    assert torch.equal(found[0]["contrastive"], found[1]["contrastive"])
    assert not torch.allclose(found[0]["matching"], found[1]["matching"])


def calls_of(masking, model, rows):
    """Return how many functions of Python a step calls, from the draw of its masks to its gradient."""
    batch, number = masking.pad(rows), 0

    def count(_frame, event, _arg):
        nonlocal number
        number += event == "call"

    masking.draw(batch, 0, 10)  # what is made once is made
    sys.setprofile(count)
    try:
        drawn = masking.draw(batch, 0, 10)
        sum(loss.mean() for loss in masking.losses(model, drawn.inputs).values()).backward()
    finally:
        sys.setprofile(None)
    return number


def test_a_step_has_no_loop_over_its_samples():
    masking, model = joint(complement=True), tiny_video_text(fresh=False)
    calls_of(masking, model, pairs(2))
    few, many = (calls_of(masking, model, pairs(number)) for number in (4, 16))
    assert few == many
