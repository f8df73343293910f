"""Embeddings of words on their own, against one forward pass per word; and what is refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny import MODELS, save_encoder, save_pooled
from transformers import AutoModel, AutoTokenizer

from diffmask.core.errors import InputError
from diffmask.core.machine import resolve_device
from diffmask.text.anchors import encoder as encoder_module
from diffmask.text.anchors.encoder import Encoder
from diffmask.text.model.load import describe_architecture

WHERE = "give a folder that save_pretrained wrote (with model.safetensors), a hub name that can be reached, or `minilm`"
WORDS = ["kinase", "kinases", "phosphorylation", "a", "the", "zzz", "rat", "kinase protein"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoder"), num_hidden_layers=4)


@pytest.fixture(scope="module")
def pooled(tmp_path_factory):
    return save_pooled(tmp_path_factory.mktemp("pooled"))


@torch.no_grad()
def slow_word(folder, word, layer):
    """One word, the whole model, without padding; the mean of the pieces between [CLS] and [SEP]."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    output = model(input_ids=tokenizer(word, return_tensors="pt").input_ids, output_hidden_states=True)
    return output.hidden_states[layer][0, 1:-1].mean(0)


def slow_normed(folder, word):
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    output = model(input_ids=tokenizer(word, return_tensors="pt").input_ids, output_hidden_states=True)
    return model.final_norm(output.hidden_states[1])[0, 1:-1].mean(0)


def test_a_word_is_the_mean_of_its_pieces_at_the_middle_layer(folder, monkeypatch):
    monkeypatch.setattr(encoder_module, "_BATCH_TOKENS", 48)  # three words at a time
    encoder = Encoder.load(folder, "cpu")
    assert encoder.layer == 2
    slow = torch.stack([slow_word(folder, word, 2) for word in WORDS])
    assert torch.allclose(encoder.embed_words(WORDS), slow, atol=1e-5)


def test_layers_that_are_not_read_are_left_out(folder):
    assert len(Encoder.load(folder, "cpu").model.encoder.layer) == 2


@pytest.mark.parametrize("family", MODELS)
def test_every_family_embeds_words(family, tmp_path):
    folder = save_encoder(tmp_path, family, num_hidden_layers=2)
    encoder = Encoder.load(folder, "cpu")
    assert encoder.layer == 1
    words = ["kinase", "phosphorylation"]
    embeddings = encoder.embed_words(words)
    assert embeddings.shape == (2, encoder.width)
    slow = torch.stack([slow_word(folder, word, 1) for word in words])
    if family == "modernbert":
        # the norm at the top comes after the layer that is last now
        with torch.no_grad():
            slow = torch.stack([slow_normed(folder, word) for word in words])
    assert torch.allclose(embeddings, slow, atol=1e-4)


@torch.no_grad()
def test_the_published_embedding_is_the_pooler_of_the_isolated_word(pooled):
    model, tokenizer = AutoModel.from_pretrained(pooled).eval(), AutoTokenizer.from_pretrained(pooled)
    slow = [model(**tokenizer(word, return_tensors="pt")).pooler_output[0] for word in WORDS]
    encoder = Encoder.load(pooled, "cpu", pooler=True)
    assert torch.allclose(encoder.pool_words(WORDS), torch.stack(slow), atol=1e-5)


def refusal(name, **options):
    with pytest.raises(InputError) as caught:
        Encoder.load(name, "cpu", **options)
    return str(caught.value)


def test_a_model_without_pooler_is_refused_where_one_is_read(folder):
    assert refusal(folder, pooler=True) == (
        f"{folder!r} has no trained pooler, which the preset `published` reads; give --embedder a BERT that has one "
        "(such as bert-base-uncased), or use the preset `default`"
    )


def test_a_family_without_pooler_is_refused_too(tmp_path):
    name = save_encoder(tmp_path, "distilbert")
    assert "has no trained pooler" in refusal(name, pooler=True)


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    message = refusal(str(tmp_path / "nothing"))
    assert message.startswith(f"no tokenizer in '{tmp_path}/nothing' (")
    assert "give a folder that save_pretrained wrote" in message


def test_a_folder_without_weights_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    message = refusal(str(tmp_path / "m"))
    assert message.startswith(f"no model in '{tmp_path}/m' (")
    assert message.endswith(WHERE)


def test_weights_of_another_model_are_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "m")
    weights = load_file(tmp_path / "m" / "model.safetensors")
    names = [name for name in weights if "layer.1." in name and "query" in name]
    save_file(
        {n: w for n, w in weights.items() if n not in names}, tmp_path / "m" / "model.safetensors", {"format": "pt"}
    )
    assert refusal(str(tmp_path / "m")) == (
        f"the weights in '{tmp_path}/m' lack encoder.layer.1.attention.self.query.bias and 1 more of the encoder; "
        "the checkpoint is of another model than its config says"
    )


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(InputError, match="^unknown device 'gpu'; choose from: auto, cpu, cuda, cuda:0, ...$"):
        resolve_device("gpu")


def test_a_device_that_is_not_there_is_refused():
    number = torch.cuda.device_count()
    with pytest.raises(InputError) as caught:
        resolve_device(f"cuda:{number}")
    assert str(caught.value) == f"device 'cuda:{number}' is not there ({number} CUDA devices); use auto or cpu"


def test_an_architecture_is_kind_width_and_depth(folder):
    assert json.loads(json.dumps(describe_architecture(folder))) == {
        "model_type": "bert",
        "hidden_size": 32,
        "num_hidden_layers": 4,
    }
