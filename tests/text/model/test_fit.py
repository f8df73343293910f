"""Models, tokenizers and rows that do not fit together are refused when they are loaded, each in one sentence."""

import json
import shutil

import pytest
import torch
from support.families import FAMILIES
from support.tiny import save_encoder, tiny_model, tiny_rows, tiny_tokenizer
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer

from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.policies.uniform import Uniform
from diffmask.text.adapter import text_adapter
from diffmask.text.anchors.encoder import Encoder
from diffmask.text.model.fit import check_length, most_tokens
from diffmask.text.model.load import load_masked_lm, load_tokenizer

SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "vocab_size": 30}
PAIR = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "vocab_size": 30, "bos_token_id": 2, "eos_token_id": 3,
}  # fmt: skip
XLM = {"emb_dim": 32, "n_layers": 2, "n_heads": 2, "n_words": 30, "pad_index": 0, "mask_index": 4}
SHORT = {"max_position_embeddings": 20}
READS = {
    "albert": (SIZE | SHORT | {"embedding_size": 32}, 20),
    "bart": (PAIR | SHORT, 20),
    "bert": (SIZE | SHORT, 20),
    "camembert": (SIZE | SHORT | {"pad_token_id": 1}, 18),
    "deberta-v2": (SIZE | SHORT | {"relative_attention": True, "position_biased_input": False}, None),
    "distilbert": ({"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48, "vocab_size": 30} | SHORT, 20),
    "esm": (SIZE | SHORT | {"pad_token_id": 1, "mask_token_id": 4}, 18),
    "fnet": (SIZE | SHORT, 20),
    "funnel": (
        {"d_model": 32, "n_head": 2, "d_head": 16, "d_inner": 48, "block_sizes": [1, 1], "vocab_size": 30},
        None,
    ),
    "ibert": (SIZE | SHORT | {"pad_token_id": 1}, 18),
    "luke": (SIZE | SHORT | {"pad_token_id": 1, "entity_vocab_size": 4, "entity_emb_size": 8}, 18),
    "mpnet": (SIZE | SHORT | {"pad_token_id": 1}, 18),
    "nystromformer": (SIZE | SHORT, 20),
    "pegasus": (PAIR | SHORT, 20),
    "roberta": (SIZE | SHORT | {"pad_token_id": 0}, 19),
    "t5": ({"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2, "vocab_size": 30}, None),
    "xlm": (XLM | SHORT, 20),
    "xlnet": ({"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48, "vocab_size": 30}, None),
    "yoso": (SIZE | SHORT, 20),
}


def built(kind, **settings):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **settings)
    config.architectures = ["FunnelModel"] if kind == "funnel" else None
    return AutoModel.from_config(config).eval()


def saved(folder, kind, **settings):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **settings)
    AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def refusal(load, *args, **options):
    with pytest.raises(InputError) as caught:
        load(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", READS)
def test_a_model_reads_as_many_tokens_as_it_has_positions_for(kind):
    settings, expected = READS[kind]
    model = built(kind, **settings)
    assert most_tokens(model.config) == expected

    def read(length):
        encoder = model.get_encoder() if model.config.is_encoder_decoder else model
        ids = torch.full((1, length), 7)
        return encoder(input_ids=ids, attention_mask=torch.ones_like(ids))

    with torch.no_grad():
        read(expected or 700)
        if expected is not None:
            with pytest.raises((IndexError, RuntimeError)):
                read(expected + 1)


def test_a_tokenizer_knows_how_much_its_model_reads(tmp_path):
    tokenizer = tiny_tokenizer()
    for given, found in ((int(1e30), 20), (512, 20), (12, 12)):
        folder = save_encoder(tmp_path, max_position_embeddings=20)
        tokenizer.model_max_length = given
        tokenizer.save_pretrained(folder)
        assert load_tokenizer(folder).model_max_length == found
    check_length(AutoConfig.from_pretrained(tmp_path), 20)
    assert refusal(check_length, AutoConfig.from_pretrained(tmp_path), 21) == (
        "max_length=21 is more than the 20 tokens that the model reads; give less"
    )


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2", "electra", "modernbert"])
def test_a_model_without_tokenizer_files_is_refused(family, tmp_path):
    tiny_model(family).save_pretrained(tmp_path)
    for load in (load_tokenizer, load_masked_lm, Encoder.load):
        assert refusal(load, str(tmp_path)) == (
            f"'{tmp_path}' has no tokenizer files (such as tokenizer.json); copy them there from the model that it was "
            "made from, or save the tokenizer with tokenizer.save_pretrained"
        )


def test_a_vocabulary_without_its_merges_is_refused(tmp_path):
    tokenizer = FAMILIES["RoBERTa"]()
    tiny_model("roberta", vocab_size=len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.backend_tokenizer.model.save(str(tmp_path))
    load_tokenizer(str(tmp_path))
    (tmp_path / "merges.txt").unlink()
    assert "has the vocab.json of a tokenizer, but not its merges.txt" in refusal(load_tokenizer, str(tmp_path))


def test_tokens_without_rows_are_refused_and_rows_without_tokens_are_not(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["thrombomodulin", "glycosylation"])
    for rows in (30, 31):
        tokenizer.save_pretrained(save_encoder(tmp_path, vocab_size=rows))
        for load in (load_tokenizer, load_masked_lm, Encoder.load):
            assert refusal(load, str(tmp_path)).startswith(
                f"the tokenizer of '{tmp_path}' has 32 tokens, but the model has rows for only {rows}; "
            )
    for rows in (32, 40):
        tokenizer.save_pretrained(save_encoder(tmp_path, vocab_size=rows))
        assert len(load_masked_lm(str(tmp_path)).tokenizer) == 32


def test_nothing_is_padded_by_the_tokenizer(tmp_path):
    folder = save_encoder(tmp_path)
    words = ["kinase", "protein", "phosphorylation"]
    expected = Encoder.load(folder, "cpu").embed_words(words)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    del settings["pad_token"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert AutoTokenizer.from_pretrained(folder).pad_token is None
    assert torch.equal(Encoder.load(folder, "cpu").embed_words(words), expected)


@pytest.mark.parametrize("kind", ["bart", "mbart", "mvp"])
def test_of_a_model_with_a_decoder_the_encoder_is_read(kind, tmp_path):
    model = built(kind, **PAIR, max_position_embeddings=64, pad_token_id=0)
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    encoder = Encoder.load(str(tmp_path), "cpu")
    ids = torch.tensor([[2, 7, 8, 9, 3]])
    with torch.no_grad():
        output = model.get_encoder()(ids, torch.ones_like(ids), output_hidden_states=True)
        # the norm at the top of mBART follows the layer that is read
        expected = model.encoder.layer_norm(output.hidden_states[1]) if kind == "mbart" else output.hidden_states[1]
    assert torch.equal(encoder.states(ids, torch.ones_like(ids)), expected)


@pytest.mark.parametrize("kind", ["t5", "pegasus"])
def test_the_decoder_is_not_asked(kind, tmp_path):
    built(kind, **READS[kind][0], pad_token_id=0).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert Encoder.load(str(tmp_path), "cpu").embed_words(["kinase", "rat"]).isfinite().all()


def test_a_model_that_counts_its_layers_is_not_cut(tmp_path):
    folder = saved(tmp_path, "xlm", **(XLM | {"n_layers": 4}))
    ids = torch.tensor([[2, 7, 8, 9, 3]])
    encoder = Encoder.load(folder, "cpu")
    with torch.no_grad():
        output = AutoModel.from_pretrained(folder)(ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
    assert torch.equal(encoder.states(ids, torch.ones_like(ids)), output.hidden_states[2])


def test_families_that_cannot_be_read_say_why(tmp_path):
    folder = saved(tmp_path / "x", "xmod", **SIZE, languages=["en_XX", "de_DE"], pad_token_id=1)
    for load in (load_masked_lm, Encoder.load):
        assert refusal(load, folder) == (
            f"'{folder}' is an X-MOD model whose language is unknown; set default_language in its config.json to one "
            "of: en_XX, de_DE"
        )
    folder = saved(tmp_path / "n", "nystromformer", **SIZE, num_landmarks=4, segment_means_seq_len=16)
    assert "set num_landmarks=16 in its config.json, which makes" in refusal(load_masked_lm, folder)
    axial = {"axial_pos_shape": [4, 5], "axial_pos_embds_dim": [16, 16], "is_decoder": False}
    reformer = {"hidden_size": 32, "attn_layers": ["local"], "num_attention_heads": 2, "attention_head_size": 16}
    folder = saved(tmp_path / "r", "reformer", vocab_size=30, **axial, **reformer)
    assert "trains only on rows of exactly 20 tokens" in refusal(load_masked_lm, folder)
    latents = {"d_latents": 16, "d_model": 16, "num_latents": 4, "num_self_attends_per_block": 1, "vocab_size": 30}
    folder = saved(tmp_path / "p", "perceiver", **latents, num_self_attention_heads=2, num_cross_attention_heads=2)
    assert "is a perceiver model, which cannot be given tokens alone" in refusal(load_masked_lm, folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"hidden_size": "large"}, "no model in "),
        ({"hidden_act": "gelly"}, "no model in "),
        ({"num_hidden_layers": 10**9}, "says num_hidden_layers=1000000000, and no model has more than 1,000; copy"),
        ({"vocab_size": 10**12}, "says vocab_size=1000000000000, and no model has more than 10,000,000; copy"),
        ([], "no model in "),
    ],
)
def test_a_damaged_config_is_refused(tmp_path, change, sentence):
    folder = save_encoder(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change if change else change))
    for load in (load_masked_lm, Encoder.load):
        assert sentence in refusal(load, folder)


@pytest.mark.parametrize("content", ["[]", "{", '{"model": 3}', ""])
def test_a_damaged_tokenizer_is_refused(tmp_path, content):
    folder = save_encoder(tmp_path)
    (tmp_path / "tokenizer.json").write_text(content)
    assert refusal(load_masked_lm, folder).startswith("no tokenizer in ")


def test_pickles_are_refused_with_how_to_convert_them(tmp_path):
    folder = save_encoder(tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    torch.save(tiny_model().state_dict(), tmp_path / "m" / "pytorch_model.bin")
    torch.save({}, tmp_path / "m" / "training_args.bin")
    message = refusal(load_masked_lm, folder)
    assert message.startswith(f"the weights in '{folder}' are a pickle (pytorch_model.bin), which may run code")
    assert 'save_file(weights, "model.safetensors", metadata={"format": "pt"}) beside its config.json' in message
    shutil.copy(tmp_path / "m" / "pytorch_model.bin", tmp_path / "best.pth")
    for load in (load_masked_lm, Encoder.load):
        assert "are a pickle (best.pth)" in refusal(load, str(tmp_path / "best.pth"))


def test_loading_says_nothing(tmp_path, capfd):
    tiny_model().bert.save_pretrained(tmp_path)  # without its head
    tiny_tokenizer().save_pretrained(tmp_path)
    capfd.readouterr()
    load_masked_lm(str(tmp_path))
    Encoder.load(str(tmp_path), "cpu")
    assert capfd.readouterr() == ("", "")


def test_padding_that_a_model_has_no_positions_for_is_cut_off():
    adapter = text_adapter(tiny_tokenizer())
    batch = adapter.pad(tiny_rows())
    longest = int(batch["attention_mask"].sum(1).max())
    assert longest < batch["input_ids"].shape[1]
    units = adapter.units(batch, 0)
    inputs = adapter.corrupt(batch, units, Masker(Uniform())(units, 0, 1), 0)
    model = tiny_model(max_position_embeddings=longest).eval()
    cut = {name: values[:, :longest] for name, values in inputs.items()}
    assert torch.equal(adapter.losses(model, inputs), adapter.losses(model, cut))
    short = tiny_model(max_position_embeddings=longest - 1)
    assert refusal(adapter.losses, short, inputs) == (
        f"a row has {longest} tokens, and the model reads {longest - 1}; tokenise with max_length={longest - 1} or less"
    )
    small = tiny_model(vocab_size=20)
    assert "and the model has rows for only 20 tokens" in refusal(adapter.losses, small, inputs)
