"""The objectives of a VideoTextModel: their losses, what is no negative, whom gradients reach, and ranks."""

import math

import pytest
import torch
from support.processes import run_ranks
from support.tiny_video import tiny_grid
from support.tiny_video_text import (
    gradients_of_a_step,
    leave_gradients,
    shared_batch,
    summed_losses,
    tiny_batch,
    tiny_video_text,
)

from diffmask.video_text.model.config import FUSIONS
from diffmask.video_text.model.objectives import (
    OBJECTIVES,
    PairIds,
    Similarities,
    contrastive_losses,
    draw_negatives,
    find_negatives,
)

COMPARED = ("contrastive", "matching")


def random_pairs(num_rows=9, num_videos=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    video_ids = torch.randint(0, num_videos, (num_rows,), generator=generator)
    text_ids = torch.randint(0, 12, (num_rows,), generator=generator)
    return PairIds(video_ids, text_ids, torch.randperm(10**6, generator=generator)[:num_rows])


def random_similarities(rows, columns, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Similarities(*(3 * torch.randn(rows, columns, generator=generator) for _ in range(2)))


def own_pairs(pairs, own):
    return PairIds(*(each[own] for each in pairs))


def are_same(pairs, one, other):
    return bool(pairs.video_ids[one] == pairs.video_ids[other] or pairs.text_ids[one] == pairs.text_ids[other])


def test_contrastive_losses_by_a_loop():
    every, own = random_pairs(), slice(2, 6)
    similar = random_similarities(4, 9)
    got = contrastive_losses(similar, find_negatives(own_pairs(every, own), every), own)
    for row, place in enumerate(range(2, 6)):
        expected = 0.0
        for direction in similar:
            total = 0.0
            for other in range(9):
                same = (
                    every.video_ids[other] == every.video_ids[place] or every.text_ids[other] == every.text_ids[place]
                )
                if other == place or not same:
                    total += math.exp(direction[row, other])
            expected += (math.log(total) - float(direction[row, place])) / 2
        assert float(got[row]) == pytest.approx(expected, rel=1e-5)


def test_hard_negatives_are_drawn_by_similarity_and_are_never_of_the_same_clip_or_text():
    every, own = random_pairs(seed=1), slice(0, 3)
    similar = random_similarities(3, 9)
    mine = own_pairs(every, own)
    negatives = find_negatives(mine, every)
    assert not negatives.all()
    num_steps = 4000
    counts = torch.zeros(2, 3, 9)
    for step in range(num_steps):
        drawn = draw_negatives(similar, negatives, mine.sample_ids, every.sample_ids, seed=0, step=step)
        for side, places in enumerate(drawn[:2]):
            counts[side, torch.arange(3), places] += 1
    for side in range(2):
        for row in range(3):
            weights = [math.exp(value) for value in similar[side][row]]
            for other in range(9):
                same = are_same(every, row, other)
                assert bool(negatives[row, other]) != same
                weights[other] *= not same
            expected = torch.tensor(weights) / sum(weights)
            assert torch.allclose(counts[side, row] / num_steps, expected, atol=4 * 0.5 / num_steps**0.5)


def test_hard_negatives_do_not_depend_on_where_rows_stand():
    every, similar = random_pairs(seed=2), random_similarities(9, 9)
    negatives = find_negatives(every, every)
    drawn = draw_negatives(similar, negatives, every.sample_ids, every.sample_ids, seed=1, step=3)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(4))
    mine, moved = order[:4], own_pairs(every, order)
    similar = Similarities(*(each[mine][:, order] for each in similar))
    again = draw_negatives(similar, negatives[mine][:, order], moved.sample_ids[:4], moved.sample_ids, seed=1, step=3)
    for side in range(2):
        assert torch.equal(every.sample_ids[drawn[side][mine]], moved.sample_ids[again[side]])


def test_captions_of_one_clip_are_not_negatives():
    model = tiny_video_text(fresh=False)
    batch = tiny_batch(model, 3)
    with torch.no_grad():
        both = model(
            **{**batch, "pairs": PairIds(torch.zeros(3), torch.arange(3), torch.arange(3))}, objectives=COMPARED
        )
        apart = model(**batch, objectives=COMPARED)
    assert torch.equal(both.contrastive, torch.zeros(3))
    states = model.encode_text(batch["clean_ids"], batch["attention_mask"])
    seen = model.encode_video(batch["frames"], batch["visible"])
    logits = model.match(model.fuse(states, batch["attention_mask"], seen).text, batch["attention_mask"])
    assert torch.allclose(both.matching, torch.nn.functional.softplus(-logits), atol=1e-6)
    assert (apart.contrastive > 0).all() and not torch.allclose(apart.matching, both.matching)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_matching_losses_by_a_loop(fusion):
    model = tiny_video_text(fusion=fusion, fresh=False)
    batch = shared_batch(model)
    pairs, mask = batch["pairs"], batch["attention_mask"]
    with torch.no_grad():
        got = model(**batch, objectives=COMPARED, step=5, seed=2).matching
        states, seen = (
            model.encode_text(batch["clean_ids"], mask),
            model.encode_video(batch["frames"], batch["visible"]),
        )
        texts, videos = model.embed_text(states, mask), model.embed_video(seen)
        similar = Similarities(videos @ texts.T / model.temperature(), texts @ videos.T / model.temperature())
        ids = pairs.sample_ids
        drawn = draw_negatives(similar, find_negatives(pairs, pairs), ids, ids, seed=2, step=5)
        for row in range(8):
            losses = []
            for text, video, right in [(row, row, 1), (drawn.texts[row], row, -1), (row, drawn.videos[row], -1)]:
                length = int(mask[text].sum())
                alone = model.encode_text(batch["clean_ids"][text, None, :length], mask[text, None, :length])
                fused = model.fuse(alone, mask[text, None, :length], seen[video][None])
                logit = model.match(fused.text, mask[text, None, :length])
                losses.append(torch.nn.functional.softplus(-right * logit))
            assert torch.allclose(got[row], torch.cat(losses).mean(), atol=1e-5)


@pytest.mark.parametrize("objectives", [OBJECTIVES, COMPARED])
def test_a_batch_of_one(objectives):
    model = tiny_video_text(fresh=False)
    batch = tiny_batch(model, 1)
    losses = summed_losses(model, batch, torch.zeros(1, 24, 384), objectives)
    assert losses.keys() == set(objectives) and losses["contrastive"] == 0 and losses["matching"] > 0
    sum(losses.values()).backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in model.parameters())


GROUPS = {
    "text encoder": "text.bert.",
    "text head": "text.cls.",
    "video encoder": "video.videomae.",
    "video decoder": ("video.encoder_to_decoder.", "video.mask_token", "video.decoder."),
    "fusion": "fusion.",
    "patches to text": "patches_to_text.",
    "projections": ("text_projection.", "video_projection."),
    "temperature": "log_temperature",
    "matching head": "matching_head.",
}
BOTH = {"text encoder", "video encoder"}
REACHED = {
    "text": BOTH | {"text head", "fusion"},
    "video": BOTH | {"video decoder", "fusion", "patches to text"},
    "contrastive": BOTH | {"projections", "temperature"},
    "matching": BOTH | {"fusion", "matching head"},
}


def group_of(name):
    (group,) = (group for group, prefix in GROUPS.items() if name.startswith(prefix))
    return group


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_gradients_reach_what_they_should_and_nothing_else(objective, fusion):
    model = tiny_video_text(fusion=fusion, fresh=False)
    gradients_of_a_step(model, torch.arange(8), (objective,))
    reached = {group_of(name) for name, each in model.named_parameters() if each.grad is not None and each.grad.any()}
    assert reached == REACHED[objective]


SETS = [*((each,) for each in OBJECTIVES), COMPARED, ("text", "video"), OBJECTIVES]


@pytest.mark.parametrize("changes", [{}, {"feature_dim": 384}])
@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("objectives", SETS)
def test_what_trains_is_what_gets_a_gradient(objectives, fusion, changes):
    model = tiny_video_text(fusion=fusion, **changes)
    model.train_for(("text",))  # what was frozen for others trains again
    model.train_for(objectives)
    gradients = gradients_of_a_step(model, torch.arange(8), objectives)
    assert gradients.keys() == {name for name, each in model.named_parameters() if each.requires_grad}


@pytest.mark.parametrize("shares", [(5, 3), (2, 1, 3, 2)])
def test_ranks_have_the_gradient_of_one_process(shares, tmp_path):
    for done in run_ranks(len(shares), leave_gradients, tmp_path, OBJECTIVES, shares):
        assert done.returncode == 0, done.stderr[-3000:]
    expected = gradients_of_a_step(tiny_video_text(fresh=False), torch.arange(8), OBJECTIVES)
    for rank in range(len(shares)):
        got = torch.load(tmp_path / f"rank{rank}.pt")
        assert got.keys() == expected.keys()
        for name, gradient in expected.items():
            assert torch.allclose(got[name], gradient, atol=1e-5), name


def lengthened(batch, more, pad_id):
    """Return the texts of a batch with more padding."""
    padding = {"input_ids": pad_id, "clean_ids": pad_id, "attention_mask": 0}
    return {key: torch.nn.functional.pad(batch[key], (0, more), value=value) for key, value in padding.items()}


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.filterwarnings("ignore:.*_token_id must be")
def test_padding_changes_nothing(fusion, family):
    model = tiny_video_text(family, fusion, fresh=False)
    batch = shared_batch(model)
    longer = {
        key: torch.nn.functional.pad(
            batch[key], (0, 5), value=model.text.config.pad_token_id * (key != "attention_mask")
        )
        for key in ("input_ids", "attention_mask", "clean_ids")
    }
    with torch.no_grad():
        expected, got = (model(**each, objectives=OBJECTIVES) for each in (batch, batch | longer))
    for key, value in expected.items():
        assert torch.allclose(value, got[key], atol=1e-5), key


def test_padding_beyond_the_positions_of_the_text_model():
    model = tiny_video_text("roberta", fresh=False)
    batch = tiny_batch(model)
    longer = lengthened(batch, 80, model.text.config.pad_token_id)
    with torch.no_grad():
        expected, got = (model(**each, objectives=OBJECTIVES) for each in (batch, batch | longer))
        states = model.encode_text(longer["input_ids"], longer["attention_mask"])
    assert states.shape[1] == 92
    for key, value in expected.items():
        assert torch.allclose(value, got[key], atol=1e-5), key


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_gradient_checkpointing_changes_no_gradient(fusion, reentrant):
    plain, saving = (tiny_video_text(fusion=fusion, fresh=False).train() for _ in range(2))
    saving.activation_checkpointing_enable({"use_reentrant": reentrant})
    calls = []
    watched = saving.fusion.fusion_blocks[0], saving.video.decoder.decoder_layers[0]
    for layer in watched:
        next(each for each in layer.modules() if isinstance(each, torch.nn.LayerNorm)).register_forward_hook(
            lambda *_: calls.append(1)
        )
    expected, got = (gradients_of_a_step(model, torch.arange(8), OBJECTIVES) for model in (plain, saving))
    # fused twice (masked and matched) and decoded once, and all of it again in the backward pass
    assert len(calls) == 2 * (2 + 1)
    assert expected.keys() == got.keys()
    for name, gradient in expected.items():
        assert torch.allclose(got[name], gradient, atol=1e-6), name


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_hidden_patch_is_seen_by_nothing(fusion):
    model = tiny_video_text(fusion=fusion, fresh=False)
    batch = tiny_batch(model)
    hidden = torch.ones(4, 64, dtype=torch.bool).scatter(1, batch["visible"], False)
    noise = torch.randn(4, 64, 2 * 8 * 8 * 3) * hidden[..., None]
    changed = batch["frames"] + tiny_grid(model.video).put_patches(noise)
    with torch.no_grad():
        expected, got = (
            model(**batch | {"frames": each}, objectives=OBJECTIVES) for each in (batch["frames"], changed)
        )
    assert all(torch.equal(value, got[key]) for key, value in expected.items())


def test_the_temperature_stays_within_its_limits_and_comes_back():
    model = tiny_video_text()
    batch = tiny_batch(model)
    for beyond, limit in [(-20.0, 0.001), (20.0, 0.5)]:
        with torch.no_grad():
            model.log_temperature.fill_(beyond)
        model.zero_grad()
        model(**batch, objectives=("contrastive",)).contrastive.sum().backward()
        assert model.temperature().item() == pytest.approx(limit)
        assert model.log_temperature.grad != 0
    with torch.inference_mode():
        assert model.temperature().item() == pytest.approx(0.5)


def steps_to_learn(model, batch, targets, objective, most=600):
    """Train on one batch until a fifth of the loss is left, and return the number of steps."""
    model.train_for((objective,))
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=3e-3)
    first = None
    for step in range(most):
        (loss,) = summed_losses(model, batch, targets, (objective,), step=step).values()
        first = loss.item() if first is None else first
        if loss.item() < 0.2 * first:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return step + 1


@pytest.mark.parametrize(
    ("objective", "fusion"),
    [*((objective, "cross") for objective in OBJECTIVES), ("text", "merged"), ("video", "bidirectional")],
)
def test_sixteen_pairs_are_overfitted(objective, fusion):
    model = tiny_video_text(fusion=fusion, num_fusion_layers=1)
    batch = tiny_batch(model, 16)
    targets = torch.randn(16, 24, 384, generator=torch.Generator().manual_seed(0))
    if objective == "text":  # only the clip says which tokens are hidden
        batch["input_ids"] = torch.tensor([2, 4, 4, 4, 3]).expand(16, 5)
        batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    elif objective == "video":  # only the text says what a patch is
        same = {key: batch[key][:1].repeat_interleave(16, 0) for key in ("frames", "visible", "predicted")}
        batch, targets = batch | same, targets[:, :1, :1].expand_as(targets)
    assert steps_to_learn(model, batch, targets, objective) < 600


@pytest.mark.parametrize("fusion", FUSIONS)
def test_mixed_precision_leaves_similarities_in_float32(fusion):
    model = tiny_video_text(fusion=fusion, fresh=False).train()
    with torch.no_grad():
        model.log_temperature.fill_(math.log(0.001))
    batch = shared_batch(model)
    kept = []
    model.text_projection.register_forward_hook(lambda _module, _args, output: kept.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        output = model(**batch, objectives=OBJECTIVES)
        states = model.encode_text(batch["clean_ids"], batch["attention_mask"])
        text = model.embed_text(states, batch["attention_mask"])
        video = model.embed_video(model.encode_video(batch["frames"], batch["visible"]))
    assert kept == [torch.bfloat16] * 2
    similar = Similarities(video @ text.T / model.temperature(), text @ video.T / model.temperature())
    expected = contrastive_losses(similar, find_negatives(batch["pairs"], batch["pairs"]), slice(0, 8))
    assert torch.allclose(output.contrastive, expected, rtol=1e-3)
    sum(each.float().sum() for each in output.values()).backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in model.parameters())


@pytest.mark.slow
def test_a_compiled_model_computes_the_same():
    model = tiny_video_text(fresh=False)
    batch = shared_batch(model)
    compiled = torch.compile(model, backend="eager")
    for step in (0, 1, 2):  # the number of the step becomes symbolic at its second value
        with torch.no_grad():
            expected, got = (each(**batch, objectives=OBJECTIVES, step=step) for each in (model, compiled))
        for key, value in expected.items():
            assert torch.allclose(value, got[key], atol=1e-6), key
