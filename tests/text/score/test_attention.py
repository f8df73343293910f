"""Attention as a score: what a teacher attends to, without special tokens and padding."""

import pytest
import torch
from support.tiny import MODELS, save_encoder, tiny_model, tiny_rows, tiny_tokenizer
from transformers import AutoModel

from diffmask.core.errors import InputError
from diffmask.text.score import attention
from diffmask.text.score.attention import load_attention
from diffmask.text.score.position_scores import unit_scores
from diffmask.text.segment.pad import Pad

CLS, SEP, MASK = 2, 3, 4


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("teacher"), initializer_range=0.5)


def slow_shares(folder, ids, kind, layer):
    """Return each ordinary token's share of the attention, with loops over heads and positions."""
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.inference_mode():
        heads = model(torch.tensor([ids]), output_attentions=True).attentions[layer][0]
    ordinary = [place for place, token in enumerate(ids) if token > MASK]
    given = []
    for target in ordinary:
        sources = [0] if kind == "cls" else [place for place in ordinary if place != target]
        given.append(sum(float(head[source, target]) for head in heads for source in sources))
    return dict(zip(ordinary, [value / sum(given) for value in given], strict=True))


@pytest.mark.parametrize("kind", ["cls", "received"])
@pytest.mark.parametrize("layer", [-1, 0])
def test_scores_are_log_shares_of_the_slow_reference(teacher, kind, layer):
    scorer = load_attention(teacher, tiny_tokenizer(), kind, layer=layer, device="cpu")
    rows = tiny_rows(5)
    rows[1]["input_ids"][3] = MASK  # a special token inside the text
    batch = Pad(0)(rows)
    scores = scorer(batch["input_ids"], batch["attention_mask"])
    for row, found in zip(rows, scores, strict=True):
        shares = slow_shares(teacher, row["input_ids"], kind, layer)
        for place, score in enumerate(found.tolist()):
            expected = shares[place] * len(shares) if place in shares else 1.0
            assert score == pytest.approx(torch.tensor(expected).log().item(), abs=1e-4)


def test_softmax_of_the_scores_is_the_attention(teacher):
    scorer = load_attention(teacher, tiny_tokenizer(), device="cpu")
    ids = tiny_rows(1)[0]["input_ids"]
    ordinary = scorer(torch.tensor([ids]), torch.ones(1, len(ids)))[0, 1:-1]
    assert ordinary.softmax(0).tolist() == pytest.approx(list(slow_shares(teacher, ids, "cls", -1).values()), rel=1e-4)


@pytest.mark.parametrize("kind", ["cls", "received"])
def test_padding_and_batches_change_nothing(teacher, kind, monkeypatch):
    scorer = load_attention(teacher, tiny_tokenizer(), kind, device="cpu")
    rows = tiny_rows(9)
    together = unit_scores(scorer, Pad(0, multiple=32)(rows))
    alone = [unit_scores(scorer, Pad(0, multiple=1)([row]))[0] for row in rows]
    monkeypatch.setattr(attention, "_BATCH_ATTENTIONS", 4000)
    in_parts = unit_scores(scorer, Pad(0)(rows))
    assert torch.allclose(together, in_parts, atol=1e-5)
    for scores, own in zip(together, alone, strict=True):
        assert torch.allclose(scores[: len(own)], own, atol=1e-5)


def test_a_unit_has_the_mean_attention_of_its_tokens(teacher):
    """So that even attention is uniform masking, whatever the words' lengths."""
    scorer = load_attention(teacher, tiny_tokenizer(), device="cpu")
    row = tiny_rows(1)[0]
    shares = slow_shares(teacher, row["input_ids"], "cls", -1)
    found = unit_scores(scorer, Pad(0)([row]))[0]
    for unit in range(len(row["types"])):
        members = [place for place, other in enumerate(row["unit_ids"]) if other == unit]
        mean = sum(shares[place] for place in members) / len(members) * len(shares)
        assert found[unit].exp().item() == pytest.approx(mean, rel=1e-4)


@pytest.mark.parametrize("kind", ["cls", "received"])
def test_rows_of_one_token_and_of_none_score_zero(teacher, kind):
    scorer = load_attention(teacher, tiny_tokenizer(), kind, device="cpu")
    ids = torch.tensor([[CLS, 9, SEP], [CLS, SEP, 0]])
    assert scorer(ids, (ids > 0).long()).abs().max() < 1e-6
    assert scorer(ids[:0], ids[:0]).shape == (0, 3)


@pytest.mark.parametrize("family", sorted(MODELS))
def test_every_family_shows_its_attention(tmp_path, family):
    folder = save_encoder(tmp_path, family)
    for kind in ("cls", "received"):
        scorer = load_attention(folder, tiny_tokenizer(), kind, device="cpu")
        batch = Pad(0)(tiny_rows(3))
        scores = unit_scores(scorer, batch)
        assert scores.isfinite().all()
        assert scores.any()


def test_the_key_tells_kind_layer_and_weights(teacher, tmp_path):
    keys = {
        load_attention(teacher, tiny_tokenizer(), "cls").key,
        load_attention(teacher, tiny_tokenizer(), "received").key,
        load_attention(teacher, tiny_tokenizer(), "cls", layer=0).key,
        load_attention(save_encoder(tmp_path, seed=1), tiny_tokenizer(), "cls").key,
    }
    assert len(keys) == 4
    assert load_attention(teacher, tiny_tokenizer(), "cls", layer=1).key in keys


def refusal(*args, **options):
    with pytest.raises(InputError) as caught:
        load_attention(*args, **options)
    return str(caught.value)


def test_what_cannot_be_a_teacher_is_refused(teacher, tmp_path):
    tokenizer = tiny_tokenizer()
    assert refusal(None, tokenizer) == (
        "the policy `attention` needs a teacher; name one with masking.teacher: a folder, a hub name, or `minilm`"
    )
    assert refusal(teacher, tokenizer, "max") == "unknown attention 'max'; choose from: cls, received"
    assert refusal(teacher, tokenizer, layer=2) == (
        f"layer 2 is outside [-2, 1], the layers of the teacher {teacher!r}"
    )
    assert f"no tokenizer in '{tmp_path}'" in refusal(str(tmp_path), tokenizer)
    tokenizer.save_pretrained(tmp_path)
    assert f"no model in '{tmp_path}'" in refusal(str(tmp_path), tokenizer)


def test_another_vocabulary_is_refused(teacher):
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["enzyme"])
    assert refusal(teacher, tokenizer) == (
        f"the teacher {teacher!r} has another vocabulary than the model that is trained (30 and 31 tokens; they differ "
        "at 'enzyme'), so it cannot read its token ids; use a teacher of the same family"
    )


def test_pickled_weights_are_refused(tmp_path):
    model = tiny_model()
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    tiny_tokenizer().save_pretrained(tmp_path)
    assert "safetensors" in refusal(str(tmp_path), tiny_tokenizer())


def test_a_model_without_attention_is_refused(tmp_path):
    from transformers import FNetConfig, FNetModel

    config = FNetConfig(vocab_size=30, hidden_size=16, num_hidden_layers=1, intermediate_size=16)
    FNetModel(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert refusal(str(tmp_path), tiny_tokenizer()) == (
        f"the teacher '{tmp_path}' is a fnet model, which shows no attention of tokens to tokens; "
        "use BERT, RoBERTa, DeBERTa, ELECTRA, ModernBERT or the like"
    )


def test_an_encoder_with_a_decoder_is_refused(tmp_path):
    from transformers import BartConfig, BartModel

    size = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    BartModel(BartConfig(vocab_size=30, **size, **heads)).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert "is a bart model, which shows no attention" in refusal(str(tmp_path), tiny_tokenizer())


def test_a_tokenizer_without_cls_has_received_only(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = None
    folder = save_encoder(tmp_path)
    tokenizer.save_pretrained(folder)
    assert refusal(folder, tokenizer) == (
        f"the teacher {folder!r} puts no [CLS] token before a text, whose attention could be read; "
        "use attention=received"
    )
    load_attention(folder, tokenizer, "received")


def test_rows_longer_than_the_teacher_reads_are_refused(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 12
    tokenizer.save_pretrained(save_encoder(tmp_path))
    tokenizer.save_pretrained(tmp_path)
    scorer = load_attention(str(tmp_path), tiny_tokenizer(), device="cpu")
    with pytest.raises(InputError) as caught:
        scorer(torch.full((1, 16), 7), torch.ones(1, 16))
    assert str(caught.value) == (
        "the teacher reads 12 tokens, but a row has 16; set data.max_length to what it reads, or use another teacher"
    )
    assert scorer(torch.full((1, 16), 7), (torch.arange(16) < 12).long()[None]).shape == (1, 16)
